//! Listeners out of what was written.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use agentnet_policy::Mode;

use super::check::Check;
use super::side_doors::{RawSideDoors, join};
use super::{
    Address, DEFAULT_LISTENER, ListenerSettings, PolicySource, Raw, SideDoors, upstream,
    whitelist_files,
};
use crate::clients::Clients;
use crate::conduct::Conduct;
use crate::upstream::Routes;

impl Check {
    pub(super) fn listeners(
        &mut self,
        raw: &Raw,
        mode: Mode,
        default_up: Option<NonZeroU64>,
    ) -> Vec<ListenerSettings> {
        let mut listeners = Vec::new();
        let common = upstream::Common {
            remote_dns: raw.upstream_remote_dns,
            credentials_file: raw.upstream_credentials_file.as_deref(),
            ca_file: raw.upstream_ca_file.as_deref(),
        };
        let shared = upstream::routes(&raw.upstream, &common, &mut self.problems);
        let said = |raw: &Raw| {
            !(raw.listen.is_empty()
                && raw.whitelist.is_empty()
                && raw.task_whitelist.is_empty()
                && raw.dns.is_empty()
                && raw.dns_address.is_empty()
                && raw.transparent_tls.is_empty()
                && raw.transparent_http.is_empty()
                && raw.raw_doors.is_empty())
        };
        if raw.listener.is_empty() || said(raw) {
            let by_default = raw.listen.is_empty();
            let listen = if by_default {
                vec!["0.0.0.0:8888".to_owned(), "[::]:8888".to_owned()]
            } else {
                raw.listen.clone()
            };
            let side_doors = RawSideDoors {
                dns: &raw.dns,
                dns_address: &raw.dns_address,
                transparent_tls: &raw.transparent_tls,
                transparent_http: &raw.transparent_http,
                raw_doors: &raw.raw_doors,
                has_credentials: raw.credentials_file.is_some(),
            };
            let side_doors = SideDoors::check("", side_doors, &mut self.problems);
            listeners.push(ListenerSettings {
                name: DEFAULT_LISTENER.to_owned(),
                addresses: self.addresses("listen", &listen),
                by_default,
                source: PolicySource::Whitelist {
                    files: whitelist_files(&raw.whitelist, &raw.task_whitelist),
                    presets: raw.presets.clone(),
                    mode,
                    default_up,
                    credentials: raw.credentials_file.clone(),
                    conduct: self.conduct("client", raw.client.as_deref(), &shared),
                },
                default_up,
                side_doors,
            });
        }
        for (position, listener) in raw.listener.iter().enumerate() {
            let place = format!("listener {}", position + 1);
            if listener.listen.is_empty() {
                self.problem(&place, "has no `listen`: write listen = [\"IP:PORT\"]");
            }
            let default_up = self
                .bytes(&join(&place, "default_up"), listener.default_up.as_deref())
                .or(default_up);
            let routes = if listener.upstream.is_empty() {
                shared.clone()
            } else {
                upstream::routes(&listener.upstream, &common, &mut self.problems)
            };
            let clients = listener.client.as_deref().or(raw.client.as_deref());
            let whose = match &listener.client {
                Some(_) => join(&place, "client"),
                None => "client".to_owned(),
            };
            let credentials = listener.credentials_file.as_ref();
            let side_doors = RawSideDoors {
                dns: &listener.dns,
                dns_address: &listener.dns_address,
                transparent_tls: &listener.transparent_tls,
                transparent_http: &listener.transparent_http,
                raw_doors: &listener.raw_doors,
                has_credentials: credentials.or(raw.credentials_file.as_ref()).is_some(),
            };
            let side_doors = SideDoors::check(&place, side_doors, &mut self.problems);
            listeners.push(ListenerSettings {
                name: listener.name.clone(),
                addresses: self.addresses(&join(&place, "listen"), &listener.listen),
                by_default: false,
                source: PolicySource::Whitelist {
                    files: whitelist_files(&listener.whitelist, &listener.task_whitelist),
                    presets: raw.presets.clone(),
                    mode: self.mode(&join(&place, "mode"), listener.mode.as_deref(), mode),
                    default_up,
                    credentials: (listener.credentials_file.as_ref())
                        .or(raw.credentials_file.as_ref())
                        .cloned(),
                    conduct: self.conduct(&whose, clients, &routes),
                },
                default_up,
                side_doors,
            });
        }
        self.unique(&listeners, raw.listener.len());
        listeners
    }

    fn conduct(
        &mut self,
        place: &str,
        clients: Option<&[String]>,
        routes: &Routes,
    ) -> Arc<Conduct> {
        let clients = clients.map_or(Ok(Clients::default()), Clients::parse);
        let clients = clients.unwrap_or_else(|what| {
            self.problem(place, what);
            Clients::default()
        });
        Arc::new(Conduct {
            clients,
            routes: routes.clone(),
            ..Conduct::default()
        })
    }

    fn addresses(&mut self, place: &str, texts: &[String]) -> Vec<Address> {
        let mut addresses = Vec::new();
        for text in texts {
            match text.parse::<Address>() {
                Ok(address) => addresses.push(address),
                Err(error) => self.problem(place, error.to_string()),
            }
        }
        addresses
    }

    /// `own` of the listeners are tables of the file; one before them is made of settings for all.
    fn unique(&mut self, listeners: &[ListenerSettings], own: usize) {
        let mut names = HashSet::new();
        let mut addresses = HashSet::new();
        let common = listeners.len().saturating_sub(own);
        for (position, listener) in listeners.iter().enumerate() {
            let place = match (position + 1).checked_sub(common) {
                None | Some(0) => String::new(),
                Some(number) => format!("listener {number}"),
            };
            let name = &listener.name;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                let rule = "write 1 to 64 letters, digits, `-` or `_`";
                let what = match name.as_str() {
                    "" => format!("is wanted: {rule}"),
                    _ => format!("`{name}` is not a name: {rule}"),
                };
                self.problem(&join(&place, "name"), what);
            }
            if !names.insert(name) {
                let what = format!("two listeners are named `{name}`: give this one another");
                self.problem(&join(&place, "name"), what);
            }
            let doors = &listener.side_doors;
            let aside = doors.transparent.iter().map(|door| &door.listen);
            let aside = aside.chain(&doors.dns);
            let raw: Vec<Address> = doors.raw.iter().cloned().map(Address::Unix).collect();
            for address in listener.addresses.iter().chain(aside).chain(&raw) {
                let any = matches!(address, Address::Tcp(tcp) if tcp.port() == 0);
                if !any && !addresses.insert(address.to_string()) {
                    let what =
                        format!("{address} is given twice: write another port, or take one out");
                    self.problem(&join(&place, "listen"), what);
                }
            }
        }
    }
}

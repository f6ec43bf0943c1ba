//! A container as another was asked for, from what the engine tells about that one.

use std::collections::HashMap;

use bollard::models;

use crate::engine::{EngineError, EngineResult};

/// The request for a container like this one, from another image. Environment, mounts, ceilings, filters
/// and static addresses are the same.
pub(in crate::engine::bollard) fn like(
    found: models::ContainerInspectResponse,
    image: &str,
) -> EngineResult<models::ContainerCreateBody> {
    let nonsense = |what: &str| EngineError::Broken(format!("the engine does not tell {what}"));
    let config = found
        .config
        .ok_or_else(|| nonsense("a container's settings"))?;
    let host = found
        .host_config
        .ok_or_else(|| nonsense("a container's rights"))?;
    // One list of fields, the API's own: the answer's are the request's.
    let config = serde_json::to_value(config).map_err(|_| nonsense("a container's settings"))?;
    let mut body: models::ContainerCreateBody =
        serde_json::from_value(config).map_err(|_| nonsense("a container's settings"))?;
    body.image = Some(image.to_owned());
    let mode = host.network_mode.clone().unwrap_or_default();
    if mode.starts_with("container:") {
        // What belongs to a namespace is its owner's.
        (body.hostname, body.domainname, body.exposed_ports) = (None, None, None);
    } else if mode != "none" {
        let networks = found.network_settings.and_then(|n| n.networks);
        let id = found.id.unwrap_or_default();
        let endpoints = networks.unwrap_or_default().into_iter();
        let endpoints: HashMap<_, _> = endpoints
            .map(|(name, endpoint)| {
                let known = endpoint.network_id.clone().unwrap_or_default();
                // The mode says which one it is first on; by two names it would be on it twice.
                let key = if known == mode || name == mode {
                    mode.clone()
                } else {
                    known
                };
                (key, again(endpoint, &id))
            })
            .collect();
        body.networking_config = Some(models::NetworkingConfig {
            endpoints_config: Some(endpoints),
        });
    }
    body.host_config = Some(host);
    Ok(body)
}

/// What was asked for of an endpoint, without what came of it. Older engines add the container's short id to
/// its names.
fn again(endpoint: models::EndpointSettings, id: &str) -> models::EndpointSettings {
    let names = endpoint.aliases.unwrap_or_default().into_iter();
    let names: Vec<_> = names
        .filter(|name| !id.starts_with(name.as_str()))
        .collect();
    models::EndpointSettings {
        ipam_config: endpoint.ipam_config,
        aliases: Some(names).filter(|names| !names.is_empty()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(text: &str) -> models::ContainerInspectResponse {
        serde_json::from_str(text).unwrap()
    }

    const FENCED: &str = r#"{"Id":"0123456789abcdef","Image":"sha256:old",
        "Config":{"Hostname":"t","User":"1000:1000","Env":["A=b"],"Cmd":["exec","--","sh"],"Image":"agent",
            "Entrypoint":["/agentnet/bin/agentnet-gate"],"Labels":{"agentnet.task":"t"},"OpenStdin":true},
        "HostConfig":{"NetworkMode":"fence-id","CapDrop":["ALL"],"Memory":1024,"SecurityOpt":["no-new-privileges"]},
        "NetworkSettings":{"Networks":{"agentnet-shop-t-fence":{"NetworkID":"fence-id",
            "IPAMConfig":{"IPv4Address":"10.213.0.4"},"Aliases":["agent","0123456789ab"],"MacAddress":"02:42"}}}}"#;

    #[test]
    fn rights_settings_and_addresses_are_the_same_and_the_image_is_not() {
        let body = like(inspected(FENCED), "sha256:new").unwrap();
        assert_eq!(body.image.as_deref(), Some("sha256:new"));
        assert_eq!(body.env, Some(vec!["A=b".to_owned()]));
        assert_eq!(
            body.cmd,
            Some(["exec", "--", "sh"].map(str::to_owned).to_vec())
        );
        assert_eq!(body.open_stdin, Some(true));
        assert_eq!(body.labels.unwrap()["agentnet.task"], "t");
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.cap_drop),
            (Some(1024), Some(vec!["ALL".to_owned()]))
        );
        let mut endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        let endpoint = endpoints.remove("fence-id").unwrap();
        assert_eq!(endpoint.aliases, Some(vec!["agent".to_owned()]));
        assert_eq!(endpoint.mac_address, None);
        let v4 = endpoint.ipam_config.and_then(|ipam| ipam.ipv4_address);
        assert_eq!((v4.as_deref(), endpoints.len()), (Some("10.213.0.4"), 0));
    }

    #[test]
    fn one_that_shares_a_namespace_has_no_name_and_no_address_of_its_own() {
        let joined = r#"{"Id":"1","Config":{"Hostname":"relay","Image":"agent"},
            "HostConfig":{"NetworkMode":"container:9"},"NetworkSettings":{"Networks":{}}}"#;
        let body = like(inspected(joined), "sha256:new").unwrap();
        assert_eq!((body.hostname, body.networking_config), (None, None));
        assert_eq!(
            body.host_config.unwrap().network_mode.as_deref(),
            Some("container:9")
        );
    }

    #[test]
    fn an_answer_without_settings_is_an_error() {
        assert!(like(inspected(r#"{"Id":"1"}"#), "x").is_err());
    }
}

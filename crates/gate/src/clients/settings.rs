//! Settings of tools that win over the variables of the proxy.

use std::path::{Path, PathBuf};

use agentnet_policy::event::Text;

use super::{Override, Places, names, read, shown};

/// Files of a directory that are read.
const MOST_FILES: usize = 32;

/// A tool's files and the settings in them. `~` is the user's directory, `.` the project's.
struct Tool {
    name: &'static str,
    files: &'static [&'static str],
    settings: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "npm",
        files: &["~/.npmrc", "./.npmrc", "/etc/npmrc"],
        settings: &["proxy", "https-proxy", "http-proxy", "noproxy"],
    },
    Tool {
        name: "pip",
        files: &["~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"],
        settings: &["proxy"],
    },
    Tool {
        name: "curl",
        files: &["~/.curlrc", "~/.config/curlrc"],
        settings: &["proxy", "--proxy", "-x", "noproxy", "--noproxy"],
    },
    Tool {
        name: "wget",
        files: &["~/.wgetrc", "/etc/wgetrc"],
        settings: &["use_proxy", "http_proxy", "https_proxy", "no_proxy"],
    },
    Tool {
        name: "git",
        files: &["~/.gitconfig", "~/.config/git/config", "/etc/gitconfig"],
        settings: &["proxy"],
    },
    Tool {
        name: "cargo",
        files: &[
            "~/.cargo/config.toml",
            "~/.cargo/config",
            "./.cargo/config.toml",
        ],
        settings: &["proxy", "http.proxy"],
    },
    Tool {
        name: "gradle",
        files: &["~/.gradle/gradle.properties", "./gradle.properties"],
        settings: &[
            "systemProp.http.proxyHost",
            "systemProp.https.proxyHost",
            "systemProp.http.nonProxyHosts",
        ],
    },
    Tool {
        name: "apt",
        files: &["/etc/apt/apt.conf", "/etc/apt/apt.conf.d/"],
        settings: &["Acquire::http::Proxy", "Acquire::https::Proxy"],
    },
    Tool {
        name: "maven",
        files: &["~/.m2/settings.xml"],
        settings: &["<proxy>"],
    },
];

/// The settings that lead elsewhere than to the proxy, and whether there are more.
pub(super) fn overrides(
    places: &Places,
    own: &impl Fn(&str) -> Option<String>,
) -> (Vec<Override>, bool) {
    let proxy = own("https_proxy").or_else(|| own("HTTPS_PROXY"));
    let proxy = proxy.as_deref().and_then(authority).unwrap_or_default();
    let mut found = Vec::new();
    for tool in TOOLS {
        for file in tool.files {
            for (path, name) in paths(places, file) {
                let Some(bytes) = read(&path) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes);
                for (number, line) in (1u32..).zip(text.lines()) {
                    let Some((setting, value)) = setting(tool, line) else {
                        continue;
                    };
                    if !proxy.is_empty() && authority(value) == Some(proxy) {
                        continue;
                    }
                    if found.len() > super::MOST {
                        return (found, true);
                    }
                    found.push(Override {
                        tool: Text::new(tool.name),
                        file: Text::new(&name),
                        line: number,
                        setting: Text::new(setting),
                        value: shown(value),
                    });
                }
            }
        }
    }
    (found, false)
}

/// A file's place, and its name for people; a directory's files.
fn paths(places: &Places, file: &str) -> Vec<(PathBuf, String)> {
    let (root, rest) = if let Some(rest) = file.strip_prefix("~/") {
        (places.home.as_deref(), rest)
    } else if let Some(rest) = file.strip_prefix("./") {
        (places.work.as_deref(), rest)
    } else {
        let rest = file.strip_prefix("/etc/").unwrap_or(file);
        (Some(places.etc.as_path()), rest)
    };
    let Some(path) = root.map(|root: &Path| root.join(rest)) else {
        return Vec::new();
    };
    if !file.ends_with('/') {
        return vec![(path, file.to_owned())];
    }
    let inside = names(&path, MOST_FILES).map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{file}{name}");
        (path, name)
    });
    inside.collect()
}

/// The setting of a line, if it is one of the tool's, and its value without quotes.
fn setting<'a>(tool: &Tool, line: &'a str) -> Option<(&'static str, &'a str)> {
    let line = line.trim();
    tool.settings.iter().find_map(|name| {
        let start = line.get(..name.len())?;
        if !start.eq_ignore_ascii_case(name) {
            return None;
        }
        let rest = line.get(name.len()..)?;
        let separated = rest.is_empty() || rest.starts_with([' ', '\t', '=', ':', '<', '"']);
        let value = rest.trim_start_matches([' ', '\t', '=', ':']);
        let value = value.trim_end_matches(';').trim_matches(['"', '\'']);
        separated.then_some((*name, value))
    })
}

/// The host and port of a URL, without credentials and path.
fn authority(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next()?;
    Some(rest.rsplit_once('@').map_or(rest, |(_, host)| host))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn own(name: &str) -> Option<String> {
        (name == "https_proxy").then(|| "http://10.213.0.1:8888".to_owned())
    }

    fn places(root: &Path) -> Places {
        Places {
            proc: root.join("proc"),
            etc: root.join("etc"),
            home: Some(root.join("home")),
            work: Some(root.join("work")),
        }
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn settings_that_win_over_the_variables_are_found_with_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            "home/.npmrc",
            "fund=false\nhttps-proxy = http://u:p@corp:3128\nproxying=1\n",
        );
        write(
            root.path(),
            "home/.curlrc",
            "# proxy = no\nnoproxy \"*\"\n-x corp:1\n",
        );
        write(root.path(), "home/.gitconfig", "[http]\n\tproxy = \"\"\n");
        write(
            root.path(),
            "home/.config/pip/pip.conf",
            "[global]\nproxy: http://10.213.0.1:8888/\n",
        );
        write(
            root.path(),
            "work/gradle.properties",
            "systemProp.https.proxyHost=corp\n",
        );
        write(
            root.path(),
            "etc/apt/apt.conf.d/01proxy",
            "Acquire::HTTP::Proxy \"DIRECT\";\n",
        );
        write(
            root.path(),
            "home/.m2/settings.xml",
            "<settings>\n <proxies>\n  <proxy>\n",
        );
        let (mut found, more) = overrides(&places(root.path()), &own);
        found.sort();
        let lines: Vec<_> = found
            .iter()
            .map(|o| format!("{} {}:{} {}={}", o.tool, o.file, o.line, o.setting, o.value))
            .collect();
        assert_eq!(
            lines,
            [
                "apt /etc/apt/apt.conf.d/01proxy:1 Acquire::http::Proxy=DIRECT",
                "curl ~/.curlrc:2 noproxy=*",
                "curl ~/.curlrc:3 -x=corp:1",
                "git ~/.gitconfig:2 proxy=",
                "gradle ./gradle.properties:1 systemProp.https.proxyHost=corp",
                "maven ~/.m2/settings.xml:3 <proxy>=",
                "npm ~/.npmrc:2 https-proxy=http://…@corp:3128",
            ]
        );
        assert!(!more);
    }

    #[test]
    fn a_file_of_endless_settings_is_cut_short() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "home/.curlrc", &"noproxy *\n".repeat(6_000));
        let (found, more) = overrides(&places(root.path()), &own);
        assert!(more && found.len() <= super::super::MOST + 1);
        assert_eq!(overrides(&places(Path::new("/nowhere")), &own).0, []);
    }
}

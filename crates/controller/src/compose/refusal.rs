//! Which fields are honoured, and why the others are not.

/// The fields of a service that are honoured, and those above and below it.
const HONOURED: [&str; 22] = [
    "services",
    "volumes",
    "image",
    "command",
    "entrypoint",
    "environment",
    "user",
    "working_dir",
    "expose",
    "healthcheck",
    "depends_on",
    "tmpfs",
    "read_only",
    "mem_limit",
    "cpus",
    "pids_limit",
    "shm_size",
    "deploy",
    "cap_drop",
    "limits",
    "resources",
    "profiles",
];

/// A field that is honoured cannot be left out.
pub(super) fn is_honoured(field: &str) -> bool {
    HONOURED.contains(&field)
}

/// Why a field is not honoured, and what to do instead.
pub(super) fn why(field: &str) -> &'static str {
    match field {
        "build" => {
            "agentnet builds no image of a compose file; build it and name it with image =, or leave the \
             service out with skip = [\"NAME\"] if the agent stands in for it"
        }
        "ports" => {
            "a task publishes no port on this machine; the agent reaches the service by its name"
        }
        "privileged" => "no container of a task is privileged",
        "cap_add" => {
            "a service has CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID, and no other capability"
        }
        "network_mode" | "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" => {
            "no container of a task shares a namespace with the host or another container"
        }
        "devices" | "device_cgroup_rules" => {
            "no container of a task has devices of the host; gpus = in [services.NAME] gives it GPUs"
        }
        "gpus" | "reservations" | "runtime" => {
            "GPUs are given with gpus = in [services.NAME] of agentnet.toml"
        }
        "security_opt" => {
            "no container of a task loosens its confinement; a system call filter of yours is named with seccomp = \
             in [services.NAME] of agentnet.toml"
        }
        "extra_hosts" => {
            "a task's names are its services and what its proxy allows; the host has none there"
        }
        "dns" | "dns_search" | "dns_opt" | "domainname" => "the resolver of a task is its proxy",
        "networks" => "all services of a task are on the task's one network",
        "links" | "external_links" => "services of a task reach each other by name without it",
        "volumes_from" => "a task's services share no volume",
        "secrets" | "configs" | "env_file" | "credential_spec" => {
            "agentnet hands no files of the host to a service; a password is made with generate = in \
             [services.NAME] of agentnet.toml"
        }
        "use_api_socket" => "no container of a task can reach the engine",
        "sysctls" => "a task sets the kernel's parameters of its network by itself",
        "ulimits" => "only nofile and memlock are honoured, with one number for soft and hard",
        "restart" | "restart_policy" => {
            "a service that ends is not started again, so that its end is seen"
        }
        "container_name" | "hostname" => "containers and hosts of a task have names of the task",
        "labels" | "annotations" | "label_file" => {
            "containers of a task carry agentnet's labels only"
        }
        "replicas" | "scale" => "a task has one container of a service",
        "init" => "agentnet's gate becomes the service's own program, without an init before it",
        "start_interval" => "a service is looked at five times a second until it is ready",
        "group_add" => "a service has the groups of its user; user = \"UID:GID\" names one",
        "memswap_limit" | "mem_swappiness" | "mem_reservation" | "oom_kill_disable"
        | "oom_score_adj" | "storage_opt" | "cpuset" | "cpu_shares" | "cpu_quota"
        | "cpu_period" | "cpu_count" | "cpu_percent" | "cpu_rt_runtime" | "cpu_rt_period"
        | "blkio_config" => {
            "the ceilings of a service are memory, cpus, pids, nofile, shm and disk in [services.NAME] of agentnet.toml"
        }
        _ => "agentnet does not know how to honour it",
    }
}

//! The rows of `docs/clients.md`: what each client runs.

/// A client, what it runs, and what it prints when it got there.
///
/// In the script HOST is the host, DIR a fresh directory, which is also where it starts, `$CA` the authority of the
/// origin, and `$JVM` what makes a JVM believe it. Retries are off where a client has a switch for it: they change
/// nothing but the time.
pub(super) struct Client {
    /// The first column.
    pub(super) name: &'static str,
    /// For `sh -c`.
    pub(super) script: &'static str,
    /// In what it prints.
    pub(super) word: &'static str,
    /// Where the program is.
    pub(super) from: Source,
}

/// Where a client's program comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The test bed's base image.
    Base,
    /// The image of `tests/clients`, which needs the registries to be built.
    Registries,
}

use Source::{Base, Registries};

const HELLO: &str = "hello from the origin";
const INSTALLED: &str = "installed through the fence";
const CLONED: &str = "cloned through the fence";
const ANSWERED: &str = "answered through the fence";

const fn client(
    from: Source,
    name: &'static str,
    word: &'static str,
    script: &'static str,
) -> Client {
    Client {
        name,
        script,
        word,
        from,
    }
}

/// In the order of the tables.
pub(super) const CLIENTS: &[Client] = &[
    client(
        Base,
        "curl, HTTPS",
        HELLO,
        "curl --silent --show-error --fail --cacert $CA https://HOST/hello",
    ),
    client(
        Base,
        "curl, HTTP",
        HELLO,
        "curl --silent --show-error --fail-with-body http://HOST/hello",
    ),
    client(
        Base,
        "wget",
        HELLO,
        "wget -nv --tries=1 --ca-certificate=$CA --output-document=- https://HOST/hello",
    ),
    client(
        Base,
        "git, HTTPS",
        CLONED,
        "GIT_SSL_CAINFO=$CA git clone --quiet https://HOST/sample.git DIR/sample && cat sample/README",
    ),
    client(
        Base,
        "git, SSH (`:22 raw`)",
        CLONED,
        "git clone --quiet ssh://root@HOST/tmp/origin/www/sample.git DIR/sample && cat sample/README",
    ),
    client(
        Base,
        "ssh and scp (`:22 raw`)",
        HELLO,
        "ssh root@HOST true && scp -q root@HOST:/tmp/origin/www/hello DIR/hello && cat hello",
    ),
    client(
        Base,
        "pip",
        "Saved",
        "pip download --no-input --disable-pip-version-check --retries 1 --cert $CA \
            --index-url https://HOST/simple --dest DIR agentnet-sample",
    ),
    client(
        Registries,
        "uv",
        "+ agentnet-sample==1.0",
        "SSL_CERT_FILE=$CA UV_HTTP_RETRIES=0 uv --cache-dir DIR/cache pip install --target DIR/target \
            --index-url https://HOST/simple agentnet-sample",
    ),
    client(
        Base,
        "Python `urllib`",
        HELLO,
        "SSL_CERT_FILE=$CA python3 -c \
            'import urllib.request as r; print(r.urlopen(\"https://HOST/hello\").read())'",
    ),
    client(
        Base,
        "Python `requests`",
        HELLO,
        "REQUESTS_CA_BUNDLE=$CA python3 -c 'import requests as r; print(r.get(\"https://HOST/hello\").text)'",
    ),
    client(
        Base,
        "Python `httpx`",
        HELLO,
        "SSL_CERT_FILE=$CA python3 -c 'import httpx as r; print(r.get(\"https://HOST/hello\").text)'",
    ),
    client(
        Base,
        "Node 18 `fetch`",
        HELLO,
        "NODE_EXTRA_CA_CERTS=$CA /usr/bin/node -e 'fetch(\"https://HOST/hello\").then(r => r.text()).then(console.log)'",
    ),
    client(
        Registries,
        "Node 24 `fetch`",
        HELLO,
        "NODE_EXTRA_CA_CERTS=$CA /usr/local/bin/node -e 'fetch(\"https://HOST/hello\").then(r => r.text()).then(console.log)'",
    ),
    client(
        Registries,
        "npm",
        INSTALLED,
        "NODE_EXTRA_CA_CERTS=$CA npm install --cache DIR/cache --fetch-retries=0 --no-audit --no-update-notifier \
            --registry https://HOST/npm agentnet-sample && cat node_modules/agentnet-sample/WORD",
    ),
    client(
        Registries,
        "pnpm 12",
        INSTALLED,
        "export HOME=DIR; echo '{}' >package.json; printf 'registry: https://HOST/npm\\nfetchRetries: 0\\n' >pnpm-workspace.yaml; \
            SSL_CERT_FILE=$CA pnpm add --store-dir DIR/store agentnet-sample && cat node_modules/agentnet-sample/WORD",
    ),
    client(
        Registries,
        "Yarn 1",
        INSTALLED,
        "export HOME=DIR; echo '{}' >package.json; \
            NODE_EXTRA_CA_CERTS=$CA yarn add --cache-folder DIR/cache --registry https://HOST/npm agentnet-sample \
            && cat node_modules/agentnet-sample/WORD",
    ),
    client(
        Registries,
        "Yarn 4",
        INSTALLED,
        "export HOME=DIR YARN_HTTP_RETRY=0 YARN_NODE_LINKER=node-modules YARN_ENABLE_TELEMETRY=0; \
            echo '{}' >package.json; touch yarn.lock; YARN_NPM_REGISTRY_SERVER=https://HOST/npm \
            NODE_EXTRA_CA_CERTS=$CA /opt/yarn/node_modules/.bin/yarn add agentnet-sample \
            && cat node_modules/agentnet-sample/WORD",
    ),
    client(
        Registries,
        "cargo",
        "Downloaded agentnet-sample v1.0.0",
        "mkdir src; touch src/lib.rs; printf '[package]\\nname = \"t\"\\nversion = \"1.0.0\"\\nedition = \"2021\"\\n\
            [dependencies]\\nagentnet-sample = { version = \"1\", registry = \"o\" }\\n' >Cargo.toml; \
            CARGO_HOME=DIR/home CARGO_NET_RETRY=0 CARGO_HTTP_CAINFO=$CA CARGO_REGISTRIES_O_INDEX=sparse+https://HOST/cargo/ \
            cargo vendor",
    ),
    client(
        Registries,
        "Go `net/http`",
        HELLO,
        "SSL_CERT_FILE=$CA go-get https://HOST/hello",
    ),
    client(
        Registries,
        "`go mod download`",
        "\"GoModSum\"",
        "SSL_CERT_FILE=$CA HOME=DIR GOROOT=DIR GOPATH=DIR/go GOFLAGS=-modcacherw GOSUMDB=off GOPROXY=https://HOST/go \
            go mod download -json example.org/sample@v1.0.0",
    ),
    client(
        Base,
        "apt, HTTP",
        HELLO,
        "/usr/lib/apt/apt-helper -o Acquire::Retries=0 download-file http://HOST/hello DIR/hello && cat hello",
    ),
    client(
        Base,
        "apt, HTTPS",
        HELLO,
        "/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::https::CAInfo=$CA \
            download-file https://HOST/hello DIR/hello && cat hello",
    ),
    client(
        Base,
        "Java 17 `HttpsURLConnection`",
        HELLO,
        "java $JVM /tmp/Get.java url https://HOST/hello",
    ),
    client(
        Base,
        "Java 17 `java.net.http`",
        HELLO,
        "java $JVM /tmp/Get.java client https://HOST/hello",
    ),
    client(
        Registries,
        "Maven 3.8",
        "BUILD SUCCESS",
        "echo '<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.example</groupId><artifactId>sample</artifactId>\
            <version>1.0</version><relativePath/></parent><artifactId>t</artifactId><packaging>pom</packaging><repositories>\
            <repository><id>o</id><url>https://HOST/maven</url></repository></repositories></project>' >pom.xml; \
            MAVEN_OPTS=\"$JVM\" mvn --batch-mode -Dmaven.repo.local=DIR/repository validate",
    ),
    client(
        Registries,
        "Claude Code 2.1",
        ANSWERED,
        "HOME=DIR NODE_EXTRA_CA_CERTS=$CA ANTHROPIC_API_KEY=x ANTHROPIC_BASE_URL=https://HOST CLAUDE_CODE_MAX_RETRIES=0 \
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 claude -p hello",
    ),
    client(
        Registries,
        "Codex 0.169",
        ANSWERED,
        // It tries for ever: what matters is said in the first second.
        "HOME=DIR SSL_CERT_FILE=$CA OPENAI_API_KEY=x timeout 10 codex exec --skip-git-repo-check -c model_provider=o \
            -c 'model_providers.o={name=\"o\",base_url=\"https://HOST/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}' hello",
    ),
    client(
        Registries,
        "Gemini CLI 0.61",
        ANSWERED,
        "mkdir .gemini; echo '{\"security\":{\"auth\":{\"selectedType\":\"gemini-api-key\"}},\"general\":{\"maxAttempts\":1}}' \
            >.gemini/settings.json; HOME=DIR NODE_EXTRA_CA_CERTS=$CA GEMINI_API_KEY=x GOOGLE_GEMINI_BASE_URL=https://HOST \
            gemini -m sample --skip-trust -p hello",
    ),
];

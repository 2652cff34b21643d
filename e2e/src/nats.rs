//! Where a system's streams are: on one server, in a cluster, or beside another system's.

use domain::key::Namespace;
use runtime::config::NatsConfig;
use testkit::{NatsCluster, NatsServer};

use crate::security::{Certificates, Credentials};

/// NATS as one system has it.
pub struct Nats {
    servers: Servers,
    namespace: Namespace,
    access: Access,
}

/// How clients show who they are.
enum Access {
    Passwords,
    Certificates(Certificates),
    Credentials(Credentials),
}

enum Servers {
    One(NatsServer),
    Cluster(NatsCluster),
    /// Of another system, which alone may end and start them.
    Shared(String),
}

impl Nats {
    /// A server of its own, on which each process has the rights of its user.
    pub async fn server() -> Self {
        Self::on(NatsServer::guarded().await)
    }

    /// A server of its own on which everybody may do everything: the users' rights are for one namespace alone.
    pub async fn open_server() -> Self {
        Self::on(NatsServer::start().await)
    }

    /// This server.
    pub fn on(server: NatsServer) -> Self {
        Self::with(Servers::One(server), Namespace::default(), Access::Passwords)
    }

    /// A server of its own that talks TLS alone, with certificates on both sides.
    pub async fn with_certificates() -> Self {
        let certificates = Certificates::new();
        let settings = format!("include users.conf\n{}\n", certificates.server_settings());
        let server = Servers::One(NatsServer::start_with(&settings).await);
        Self::with(server, Namespace::default(), Access::Certificates(certificates))
    }

    /// A server of its own with users in JWTs.
    pub async fn with_credentials() -> Self {
        let credentials = Credentials::new();
        let server = Servers::One(NatsServer::start_with(credentials.server_settings()).await);
        Self::with(server, Namespace::default(), Access::Credentials(credentials))
    }

    /// A server of its own with these lines of configuration.
    pub async fn server_with(settings: &str) -> Self {
        Self::on(NatsServer::start_with(settings).await)
    }

    /// A cluster of its own; streams have three replicas.
    pub async fn cluster() -> Self {
        let cluster = Servers::Cluster(NatsCluster::start().await);
        Self::with(cluster, Namespace::default(), Access::Passwords)
    }

    fn with(servers: Servers, namespace: Namespace, access: Access) -> Self {
        Self { servers, namespace, access }
    }

    /// The same server under another namespace.
    #[must_use]
    pub fn beside(&self, namespace: Namespace) -> Self {
        Self::with(Servers::Shared(self.url()), namespace, Access::Passwords)
    }

    /// The same server under this namespace.
    #[must_use]
    pub fn named(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// One or more servers, separated by commas.
    pub fn url(&self) -> String {
        match &self.servers {
            Servers::One(server) => server.url(),
            Servers::Cluster(cluster) => cluster.url(),
            Servers::Shared(url) => url.clone(),
        }
    }

    /// What the process of this user is told of it.
    pub fn environment(&self, user: &str) -> Vec<(&'static str, String)> {
        let common = vec![("NATS_URL", self.url()), ("NATS_NAMESPACE", self.namespace.to_string())];
        let password =
            || vec![("NATS_USER", user.to_owned()), ("NATS_PASSWORD", testkit::nats::password(user))];
        let own = match &self.access {
            Access::Passwords => password(),
            Access::Certificates(certificates) => {
                let file = |name| certificates.file(name).display().to_string();
                let files = [
                    ("NATS_URL", self.url().replace("nats://", "tls://")),
                    ("NATS_CA_FILE", file("ca")),
                    ("NATS_CERTIFICATE_FILE", file("client")),
                    ("NATS_KEY_FILE", file("client-key")),
                ];
                [password(), files.into()].concat()
            }
            Access::Credentials(credentials) => {
                vec![("NATS_CREDENTIALS_FILE", credentials.file(user).display().to_string())]
            }
        };
        [common, own].concat()
    }

    /// Replicas that streams have.
    pub fn n_replicas(&self) -> usize {
        match &self.servers {
            Servers::One(_) | Servers::Shared(_) => 1,
            Servers::Cluster(_) => testkit::cluster::N_NODES,
        }
    }

    /// Connects in the system's namespace, as who may do everything.
    pub async fn connect(&self) -> runtime::nats::Nats {
        let mut config = testkit::nats::config(self.url(), self.namespace.clone());
        match &self.access {
            Access::Passwords => {}
            Access::Certificates(certificates) => {
                config.nats_ca_file = Some(certificates.file("ca"));
                config.nats_certificate_file = Some(certificates.file("client"));
                config.nats_key_file = Some(certificates.file("client-key"));
            }
            Access::Credentials(credentials) => {
                config = NatsConfig::plain(self.url(), self.namespace.clone());
                config.nats_credentials_file = Some(credentials.file("admin"));
            }
        }
        testkit::nats::connect_with(&config).await
    }

    /// Ends every server (SIGKILL).
    pub async fn kill(&mut self) {
        match &mut self.servers {
            Servers::One(server) => server.kill().await,
            Servers::Cluster(cluster) => cluster.kill_all().await,
            Servers::Shared(_) => panic!("the servers are another system's"),
        }
    }

    /// Kills every server, and starts it again.
    pub async fn restart(&mut self) {
        match &mut self.servers {
            Servers::One(server) => server.restart().await,
            Servers::Cluster(cluster) => cluster.restart_all().await,
            Servers::Shared(_) => panic!("the servers are another system's"),
        }
    }

    /// The one server, to let it hang.
    pub fn as_server(&self) -> &NatsServer {
        match &self.servers {
            Servers::One(server) => server,
            Servers::Cluster(_) | Servers::Shared(_) => panic!("not one server of its own"),
        }
    }

    /// The nodes, to kill one of them.
    pub fn as_cluster(&mut self) -> &mut NatsCluster {
        match &mut self.servers {
            Servers::Cluster(cluster) => cluster,
            Servers::One(_) | Servers::Shared(_) => panic!("not a cluster"),
        }
    }
}

//! Where a system's streams are: on one server, in a cluster, or beside another system's.

use domain::key::Namespace;
use testkit::{NatsCluster, NatsServer};

/// NATS as one system has it.
pub struct Nats {
    servers: Servers,
    namespace: Namespace,
}

enum Servers {
    One(NatsServer),
    Cluster(NatsCluster),
    /// Of another system, which alone may end and start them.
    Shared(String),
}

impl Nats {
    /// A server of its own.
    pub async fn server() -> Self {
        Self { servers: Servers::One(NatsServer::start().await), namespace: Namespace::default() }
    }

    /// A server of its own with these lines of configuration.
    pub async fn server_with(settings: &'static str) -> Self {
        let server = NatsServer::start_with(settings).await;
        Self { servers: Servers::One(server), namespace: Namespace::default() }
    }

    /// A cluster of its own; streams have three replicas.
    pub async fn cluster() -> Self {
        Self { servers: Servers::Cluster(NatsCluster::start().await), namespace: Namespace::default() }
    }

    /// The same server under another namespace.
    #[must_use]
    pub fn beside(&self, namespace: Namespace) -> Self {
        Self { servers: Servers::Shared(self.url()), namespace }
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

    /// What each of our processes is told of it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("NATS_URL", self.url()), ("NATS_NAMESPACE", self.namespace.to_string())]
    }

    /// Replicas that streams have.
    pub fn n_replicas(&self) -> usize {
        match &self.servers {
            Servers::One(_) | Servers::Shared(_) => 1,
            Servers::Cluster(_) => testkit::cluster::N_NODES,
        }
    }

    /// Connects in the system's namespace.
    pub async fn connect(&self) -> runtime::nats::Nats {
        testkit::nats::connect(self.url(), self.namespace.clone()).await
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

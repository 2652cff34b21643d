//! Clients that do not read their stream.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::wait::eventually_within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::history::world_with_history;
use crate::support::World;

/// More events than the buffers between the API and its client can hold.
const N_EVENTS: u64 = 12_000;

/// Requests all events, and reads nothing of the answer.
async fn request_without_reading(world: &World, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = world.api.url.strip_prefix("http://").unwrap();
    let mut connection = socket.connect(address.parse().unwrap()).await.unwrap();
    let request = format!(
        "GET /api/events/stream?after=earliest HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// The ids of the events that can still be read from the connection.
async fn ids(mut connection: TcpStream) -> Vec<String> {
    let (mut bytes, mut chunk) = (vec![], vec![0; 64 * 1024]);
    // The API aborted the connection, so reading ends with an error.
    while let Ok(n_read @ 1..) = connection.read(&mut chunk).await {
        bytes.extend_from_slice(&chunk[..n_read]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let (whole, _) = text.rsplit_once("\n\n").expect("the client received events");
    whole.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}

/// Whether the kernel lists the API's end of the connection as established.
fn is_open(connection: &TcpStream) -> bool {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let (api, client) = (port(connection.peer_addr().unwrap()), port(connection.local_addr().unwrap()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let mut is = |end: &str| columns.next().is_some_and(|column| column.ends_with(end));
        is(&api) && is(&client) && is("01")
    })
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_no_one_is_disconnected_and_can_resume() {
    let world = world_with_history(N_EVENTS).await;
    let admin = world.admin();
    let slow = request_without_reading(&world, &admin).await;
    let mut client = world.stream("?after=earliest", &admin, None).await;
    assert_eq!(
        client.sequences(usize::try_from(N_EVENTS).unwrap()).await,
        (1..=N_EVENTS).collect::<Vec<_>>()
    );
    assert!(is_open(&slow));
    eventually_within(Duration::from_mins(1), "the slow client is disconnected", || async {
        (!is_open(&slow)).then_some(())
    })
    .await;
    let last = ids(slow).await.pop().unwrap();
    let mut client = world.stream("", &admin, Some(&last)).await;
    let next = client.next().await.unwrap().sequence();
    assert_eq!(last, world.cursor(next - 1));
    assert!(next <= N_EVENTS, "the buffers held all events");
}

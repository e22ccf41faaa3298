//! A TCP forwarder to a server that can be cut, or pointed at another server.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The current destination, and the number of changes: a change ends all earlier connections.
type State = (Option<SocketAddr>, u64);

pub struct Switch {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Switch {
    /// Listens on its own port and forwards to this local port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (state, seen) = watch::channel((Some(local(port)), 0));
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                tokio::spawn(lead(client, seen.clone()));
            }
        });
        Self { address, state, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections and takes no new ones.
    pub fn cut(&self) {
        self.state
            .send_modify(|(to, count)| (*to, *count) = (None, *count + 1));
    }

    /// Ends all connections; new ones lead there.
    pub fn lead_to(&self, port: u16) {
        self.state
            .send_modify(|(to, count)| (*to, *count) = (Some(local(port)), *count + 1));
    }

    /// New connections lead there; earlier ones stay.
    pub fn next_to(&self, port: u16) {
        self.state.send_modify(|(to, _)| *to = Some(local(port)));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn lead(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let (to, count) = *state.borrow_and_update();
    let Some(to) = to else { return };
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|(_, now)| *now != count) => {}
    }
}

//! A chain's node and a hub behind TLS, with a certificate that the system trusts, and with one that it does not.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

struct Running(Child, Value);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `trusted`: what the system trusts, for whoever reads its certificates.
fn tarefa(dir: &Path, trusted: Option<&Path>, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tarefa"));
    command.args(args).arg("--json").env("TAREFA_DATA_DIR", dir).stdin(Stdio::null());
    let none = dir.join("no-certificates.pem");
    command.env("SSL_CERT_FILE", trusted.unwrap_or(&none)).env_remove("SSL_CERT_DIR");
    command
}

/// Starts something that stays, until it has said something at this stage.
fn start(dir: &Path, trusted: Option<&Path>, args: &[&str], stage: &str) -> Running {
    let mut child = tarefa(dir, trusted, args).stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let said = loop {
        let said: Value = serde_json::from_str(&lines.next().expect("more").expect("a line")).expect("JSON");
        if said["stage"] == stage {
            break said;
        }
    };
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Running(child, said)
}

fn does(dir: &Path, trusted: Option<&Path>, args: &[&str]) -> Result<(), String> {
    let output = tarefa(dir, trusted, args).output().expect("started");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Ends TLS before a plain port; its own port.
async fn before(plain: SocketAddr, config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(async move {
                let (Ok(mut inside), Ok(mut outside)) =
                    (acceptor.accept(stream).await, TcpStream::connect(plain).await)
                else {
                    return;
                };
                tokio::io::copy_bidirectional(&mut inside, &mut outside).await.ok();
            });
        }
    });
    port
}

fn plain(url: &Value) -> SocketAddr {
    url.as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL").parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_and_a_hub_may_be_behind_tls_with_a_certificate_that_is_trusted() {
    let base = tempfile::tempdir().expect("a temporary directory");
    let [hub, alice, pem, other] = ["hub", "alice", "trusted.pem", "other.pem"].map(|name| base.path().join(name));
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let issued = issue();
    std::fs::write(&pem, issued.cert.pem()).expect("written");
    std::fs::write(&other, issue().cert.pem()).expect("written");
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key);
    let config = Arc::new(config.expect("a key of this certificate"));

    let up = ["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--evm-listen", "127.0.0.1:0"];
    let chain = start(base.path(), None, &up, "evm");
    let rpc = format!("https://localhost:{}", before(plain(&chain.1["evm"]), Arc::clone(&config)).await);
    let deploy = ["hub", "deploy", "--rpc", &rpc, "--deposit", "1eth", "--dev-money", "10eth", "--reorg", "1"];
    for trusted in [None, Some(other.as_path())] {
        let error = does(&hub, trusted, &deploy).expect_err("nobody vouches for it");
        assert!(error.to_lowercase().contains("certificate"), "{error}");
    }
    does(&hub, Some(&pem), &deploy).expect("it is trusted");

    let running = start(&hub, Some(&pem), &["hub", "run", "--listen", "127.0.0.1:0"], "ready");
    let url = format!("https://localhost:{}", before(plain(&running.1["hub"]), config).await);
    let init = ["channel", "init", "--hub", &url, "--rpc", &rpc, "--dev-money", "1eth"];
    let error = does(&alice, Some(&other), &init).expect_err("nobody vouches for it");
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    does(&alice, Some(&pem), &init).expect("it is trusted");
    let _daemon = start(&alice, Some(&pem), &["channel", "run", "--look", "100ms"], "ready");
    does(&alice, Some(&pem), &["channel", "open", "--deposit", "1000gwei"]).expect("the hub's offer comes through");
}

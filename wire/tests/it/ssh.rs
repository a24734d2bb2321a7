use crate::{
    support::{sshd::Sshd, wait_until},
    world::{World, rule},
};
use std::{fs, time::Duration};
use swarm_wire::remote::{Bounds, Options, Remote};

fn options(sshd: &Sshd) -> Options {
    Options {
        known_hosts: Some(sshd.known_hosts.clone()),
        identity_file: Some(sshd.key.clone()),
        ..Options::default()
    }
}

fn remote(world: &World, sshd: &Sshd, options: &Options) -> Remote {
    Remote::new(
        &format!("{}{}", sshd.origin, world.repository.display()),
        options,
    )
    .unwrap()
}

#[tokio::test]
async fn ssh_is_walked() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), true);
    world
        .walk(&mut remote(&world, &sshd, &options(&sshd)), true)
        .await;
}

#[tokio::test]
async fn later_sessions_share_one_connection_and_nothing_is_left() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), true);
    let run_dir = world.path("run");
    fs::create_dir(&run_dir).unwrap();
    let mut remote = remote(
        &world,
        &sshd,
        &Options {
            run_dir: Some(run_dir.clone()),
            ..options(&sshd)
        },
    );
    remote.look("main").await.unwrap();
    wait_until("the master listens", || {
        fs::read_dir(&run_dir)
            .unwrap()
            .any(|entry| !entry.unwrap().file_name().to_string_lossy().contains('.'))
    });
    assert_eq!(sshd.accepted(), 2, "the first look, and the master");
    world.walk(&mut remote, true).await;
    assert_eq!(
        sshd.accepted(),
        2,
        "everything after went through the master"
    );
    assert_eq!(
        sshd.sessions(),
        5,
        "one for each of four looks, one for the fetches between the second and the third; each after a look that found something goes through its session"
    );
    drop(remote);
    let mark = run_dir.display().to_string();
    wait_until("the master is gone", || {
        !command_lines().any(|line| line.contains(&mark))
    });
    assert_eq!(fs::read_dir(&run_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn an_unknown_or_changed_host_key_is_refused() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), true);
    let known = fs::read_to_string(&sshd.known_hosts).unwrap();
    fs::write(&sshd.known_hosts, "").unwrap();
    let (id, text) = rule(remote(&world, &sshd, &options(&sshd)).look("main").await);
    assert_eq!(id, "S-GIT-05", "{text}");
    let client = fs::read_to_string(sshd.key.with_extension("pub")).unwrap();
    let host = known.split(' ').next().unwrap();
    fs::write(&sshd.known_hosts, format!("{host} {client}")).unwrap();
    let (id, text) = rule(remote(&world, &sshd, &options(&sshd)).look("main").await);
    assert_eq!(id, "S-GIT-05", "{text}");
}

#[tokio::test]
async fn another_key_is_not_let_in() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), true);
    let other = Sshd::start(&world.path("."), false);
    let (id, text) = rule(
        remote(
            &world,
            &sshd,
            &Options {
                identity_file: Some(other.key.clone()),
                ..options(&sshd)
            },
        )
        .look("main")
        .await,
    );
    assert_eq!(id, "S-GIT-07", "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_accept_the_protocol_variable_is_told_what_to_set() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), false);
    let (id, text) = rule(remote(&world, &sshd, &options(&sshd)).look("main").await);
    assert_eq!(id, "S-GIT-03");
    assert!(text.contains("AcceptEnv GIT_PROTOCOL"), "{text}");
}

#[tokio::test]
async fn no_repository_and_no_server_are_unreachable() {
    let world = World::new();
    let sshd = Sshd::start(world.dir.path(), true);
    let options = options(&sshd);
    let nothing = Remote::new(
        &format!("{}/no'thing; touch x", sshd.origin).replace(' ', "%20"),
        &options,
    );
    let (id, text) = rule(nothing.unwrap().look("main").await);
    assert!(
        id == "S-GIT-01" && text.contains("does not appear"),
        "{text}"
    );
    let (id, text) = rule(
        Remote::new("ssh://127.0.0.1:1/x", &options)
            .unwrap()
            .look("main")
            .await,
    );
    assert!(id == "S-GIT-01" && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_silent_or_never_stops_complaining_is_cut_and_nothing_is_left() {
    for command in ["exec cat >/dev/null", "exec yes >&2"] {
        let world = World::new();
        let sshd = Sshd::forced(world.dir.path(), command);
        let bounds = Bounds {
            bytes: 1 << 20,
            time: Duration::from_secs(3),
            idle: Duration::from_secs(2),
        };
        let mut remote = remote(&world, &sshd, &options(&sshd)).look_within(bounds);
        let (id, text) = rule(remote.look("main").await);
        assert!(
            id == "S-GIT-01" && (text.contains("sent nothing") || text.contains("not done")),
            "{text}"
        );
        let mark = sshd.known_hosts.display().to_string();
        wait_until("ssh is gone", || {
            !command_lines().any(|line| line.contains(&mark))
        });
    }
}

#[tokio::test]
async fn a_server_that_talks_before_it_serves_is_told_apart() {
    let world = World::new();
    let sshd = Sshd::forced(world.dir.path(), "exec yes Welcome");
    let (id, text) = rule(remote(&world, &sshd, &options(&sshd)).look("main").await);
    assert!(id == "S-GIT-03" && text.contains("Welc"), "{text}");
}

fn command_lines() -> impl Iterator<Item = String> {
    let processes = fs::read_dir("/proc").unwrap();
    processes.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
}

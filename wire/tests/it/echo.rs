use crate::{
    support::{nginx::Nginx, repository::commit},
    world::{BOUNDS, World},
};
use swarm_manifests::id::Oid;
use swarm_wire::{
    echo::Heard,
    remote::{Blobs, Options, Remote},
};

fn remote(nginx: &Nginx) -> Remote {
    let options = Options {
        ca: nginx.ca.exists().then(|| nginx.ca.clone()),
        ..Options::default()
    };
    Remote::new(&format!("{}/git/deploy.git", nginx.origin), &options).unwrap()
}

/// Asks so often, by a thread; none where the last look cannot be asked again.
async fn ask(remote: &mut Remote, known: Oid, times: usize) -> Option<Vec<Heard>> {
    let mut echo = remote.echo(known).await?;
    let asking = move || ((0..times).map(|_| echo.ask()).collect(), echo);
    let (heard, echo) = tokio::task::spawn_blocking(asking).await.unwrap();
    remote.take_back(echo).await;
    Some(heard)
}

async fn is_asked_again(world: World, mut nginx: Nginx) {
    let mut remote = remote(&nginx);
    assert_eq!(remote.look("main").await, Ok(Some(world.second)));
    let same = Some(vec![Heard::Same; 3]);
    assert_eq!(ask(&mut remote, world.second, 3).await, same);
    assert_eq!(ask(&mut remote, world.second, 3).await, same, "and again");
    assert_eq!(remote.look("main").await, Ok(Some(world.second)));
    let seen = nginx.seen(9);
    let looks: Vec<_> = seen[1..]
        .iter()
        .map(|look| (look.connection, look.received, look.sent))
        .collect();
    assert_eq!(looks, [looks[0]; 8], "the same bytes over one connection");

    let third = commit(
        &world.repository,
        &[("manifests/a.toml", b"version = \"2.0.0\"\n")],
    );
    assert_eq!(
        ask(&mut remote, world.second, 2).await,
        Some(vec![Heard::Other; 2])
    );
    assert_eq!(remote.look("main").await, Ok(Some(third)));
    assert_eq!(ask(&mut remote, third, 2).await, Some(vec![Heard::Same; 2]));
}

#[tokio::test]
async fn a_look_is_asked_again_over_http_until_the_branch_moves() {
    let world = World::new();
    let nginx = Nginx::http(world.dir.path(), "");
    is_asked_again(world, nginx).await;
}

#[tokio::test]
async fn a_look_is_asked_again_over_https_until_the_branch_moves() {
    let world = World::new();
    let nginx = Nginx::https(world.dir.path(), "");
    is_asked_again(world, nginx).await;
}

#[tokio::test]
async fn only_a_look_that_showed_what_is_known_is_asked_again() {
    let world = World::new();
    let mut nginx = Nginx::http(world.dir.path(), "");
    let mut remote = remote(&nginx);
    assert_eq!(ask(&mut remote, world.second, 1).await, None, "no look yet");
    remote.look("main").await.unwrap();
    assert_eq!(ask(&mut remote, world.first, 1).await, None, "another head");
    let mut pack = Vec::new();
    let blobs = Blobs::Below(64 << 10);
    remote
        .fetch(world.second, &[], blobs, &mut pack, &BOUNDS)
        .await
        .unwrap();
    assert_eq!(
        ask(&mut remote, world.second, 1).await,
        None,
        "a fetch came after it"
    );
    remote.look("main").await.unwrap();
    assert_eq!(
        ask(&mut remote, world.second, 1).await,
        Some(vec![Heard::Same])
    );
    let seen = nginx.seen(5);
    assert!(
        seen.iter().all(|one| one.connection == seen[0].connection),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_server_that_closes_its_connections_is_looked_at_all_the_same() {
    let world = World::new();
    // The advertisement and one look.
    let nginx = Nginx::http(world.dir.path(), "keepalive_requests 2;");
    let mut remote = remote(&nginx);
    let mut heard = Vec::new();
    for _ in 0..3 {
        assert_eq!(remote.look("main").await, Ok(Some(world.second)));
        heard.extend(ask(&mut remote, world.second, 3).await);
    }
    // One look and one more on each connection after the first, which may be seen to be closed when it is asked only.
    let once = [Heard::Same, Heard::Closed, Heard::Closed];
    let never = [Heard::Closed; 3];
    assert!(
        heard.iter().all(|heard| *heard == once || *heard == never),
        "{heard:?}"
    );
}

use crate::{
    support::{
        git,
        repository::{bare, commit, noise, oid},
        run, wait_until,
    },
    world::{BOUNDS, World, rule},
};
use std::{fs, process::Command};
use swarm_wire::{
    remote::{Blobs, Bounds, MOST_WANTS, Options, Remote},
    remotes::Remotes,
};

fn remote(url: &str) -> Remote {
    Remote::new(url, &Options::default()).unwrap()
}

#[tokio::test]
async fn a_path_is_walked() {
    let world = World::new();
    world
        .walk(&mut remote(world.repository.to_str().unwrap()), true)
        .await;
}

#[tokio::test]
async fn a_file_url_is_walked_whatever_the_repository_allows() {
    let world = World::new();
    git(
        &world.repository,
        &["config", "uploadpack.allowFilter", "false"],
    );
    world
        .walk(
            &mut remote(&format!("file://{}", world.repository.display())),
            true,
        )
        .await;
}

#[tokio::test]
async fn a_path_that_is_no_repository_is_unreachable() {
    let world = World::new();
    let (id, text) = rule(
        remote(world.path("nothing").to_str().unwrap())
            .look("main")
            .await,
    );
    assert_eq!(id, "S-GIT-01");
    assert!(
        text.contains("does not appear to be a git repository"),
        "{text}"
    );
}

#[tokio::test]
async fn an_empty_repository_has_no_branch() {
    let world = World::new();
    let empty = bare(world.dir.path(), "empty.git");
    assert_eq!(remote(empty.to_str().unwrap()).look("main").await, Ok(None));
}

#[tokio::test]
async fn a_branch_whose_name_begins_with_ours_is_another_one() {
    let world = World::new();
    git(&world.repository, &["branch", "-m", "main", "main-2"]);
    assert_eq!(
        remote(world.repository.to_str().unwrap())
            .look("main")
            .await,
        Ok(None)
    );
}

#[tokio::test]
async fn a_sha256_repository_is_said_to_be_one() {
    let world = World::new();
    git(
        world.dir.path(),
        &["init", "-q", "--bare", "--object-format=sha256", "new.git"],
    );
    assert_eq!(
        rule(
            remote(world.path("new.git").to_str().unwrap())
                .look("main")
                .await
        )
        .0,
        "S-GIT-09"
    );
}

/// A server without power in the wrong moment: git says forty zeros then.
#[tokio::test]
async fn a_branch_that_the_server_has_lost_is_said_to_be_lost() {
    let world = World::new();
    std::fs::write(world.repository.join("refs/heads/main"), "").unwrap();
    let (id, text) = rule(
        remote(world.repository.to_str().unwrap())
            .look("main")
            .await,
    );
    assert_eq!(id, "S-GIT-10", "{text}");
    assert!(text.contains("has lost its branch"), "{text}");
}

#[tokio::test]
async fn an_object_that_the_server_has_not_is_refused_with_its_words() {
    let world = World::new();
    let nothing = "0123456789012345678901234567890123456789".parse().unwrap();
    let (id, text) = rule(
        remote(world.repository.to_str().unwrap())
            .fetch_blobs(&[nothing], &mut Vec::new(), &BOUNDS)
            .await,
    );
    assert_eq!(id, "S-GIT-01");
    assert!(
        text.contains("0123456789012345678901234567890123456789"),
        "{text}"
    );
}

#[tokio::test]
async fn a_hook_of_the_repository_and_a_users_configuration_run_nothing() {
    let world = World::new();
    let mark = world.path("mark");
    let script = format!("touch {}; exec \"$@\"", mark.display());
    git(
        &world.repository,
        &[
            "config",
            "uploadpack.packObjectsHook",
            &format!("sh -c '{script}' x"),
        ],
    );
    let mut remote = remote(world.repository.to_str().unwrap());
    remote
        .fetch(world.second, &[], Blobs::Without, &mut Vec::new(), &BOUNDS)
        .await
        .unwrap();
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_path_with_a_dash_in_front_is_no_option() {
    assert!(Remote::new("--upload-pack=touch /tmp/x", &Options::default()).is_err());
}

#[tokio::test]
async fn a_pack_that_is_larger_than_allowed_is_cut() {
    let world = World::new();
    let big = commit(&world.repository, &[("x", &noise(9, 3_000_000))]);
    git(
        &world.repository,
        &["config", "uploadpack.allowFilter", "false"],
    );
    let bounds = Bounds {
        bytes: 100_000,
        ..BOUNDS
    };
    let blob = oid(&world.repository, &format!("{big}:x"));
    let mut pack = Vec::new();
    let (id, text) = rule(
        remote(world.repository.to_str().unwrap())
            .fetch_blobs(&[blob], &mut pack, &bounds)
            .await,
    );
    assert_eq!(id, "S-GIT-04");
    assert!(
        text.contains("more than 100000 bytes") && pack.len() <= 100_000,
        "{text}"
    );
}

#[tokio::test]
async fn after_looks_and_cut_fetches_no_child_and_no_pipe_is_left() {
    let world = World::new();
    let big = commit(&world.repository, &[("x", &noise(9, 3_000_000))]);
    let blob = oid(&world.repository, &format!("{big}:x"));
    let mut remote = remote(world.repository.to_str().unwrap());
    for _ in 0..3 {
        remote.look("main").await.unwrap();
        let bounds = Bounds {
            bytes: 100_000,
            ..BOUNDS
        };
        remote
            .fetch_blobs(&[blob], &mut Vec::new(), &bounds)
            .await
            .unwrap_err();
    }
    // git and what it starts stand in the repository.
    wait_until("every git has ended", || {
        let processes = fs::read_dir("/proc").unwrap();
        let mut folders =
            processes.filter_map(|entry| fs::read_link(entry.ok()?.path().join("cwd")).ok());
        !folders.any(|folder| folder == world.repository)
    });
}

#[tokio::test]
async fn a_repository_of_another_user_can_be_read() {
    let world = World::new();
    // As root only: nobody else can give a folder away, and then it is one's own.
    drop(run(Command::new("sh").arg("-c").arg(format!(
        "chown -R 65534 {} || true",
        world.repository.display()
    ))));
    assert_eq!(
        remote(world.repository.to_str().unwrap())
            .look("main")
            .await,
        Ok(Some(world.second))
    );
}

#[tokio::test]
async fn where_a_fetch_fails_the_next_look_begins_at_the_next_url() {
    let world = World::new();
    let other = World::new();
    let urls = [&world, &other].map(|world| world.repository.display().to_string());
    let mut remotes = Remotes::new(&urls, &Options::default()).unwrap();
    assert_eq!(remotes.look("main").await, Ok(Some(world.second)));
    let nothing = "0123456789012345678901234567890123456789".parse().unwrap();
    remotes
        .fetch(nothing, &[], Blobs::Without, &mut Vec::new(), &BOUNDS)
        .await
        .unwrap_err();
    assert_eq!(remotes.look("main").await, Ok(Some(other.second)));
    assert_eq!(
        remotes.current().local_path(),
        Some(other.repository.as_path())
    );
}

#[tokio::test]
async fn more_objects_than_fit_are_refused_and_none_asks_nothing() {
    let mut remote = remote("/nonexistent");
    let many = vec!["0123456789012345678901234567890123456789".parse().unwrap(); MOST_WANTS + 1];
    assert_eq!(
        rule(remote.fetch_blobs(&many, &mut Vec::new(), &BOUNDS).await).0,
        "S-GIT-04"
    );
    assert_eq!(
        remote.fetch_blobs(&[], &mut Vec::new(), &BOUNDS).await,
        Ok(0)
    );
}

#[tokio::test]
async fn a_branch_that_is_no_branch_is_refused_before_anything_is_asked() {
    for branch in ["", "main\nrefs/heads/x", "../x", "-x"] {
        assert_eq!(
            rule(remote("/nonexistent").look(branch).await).0,
            "S-GIT-02",
            "{branch:?}"
        );
    }
}

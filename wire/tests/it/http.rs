use crate::{
    support::{git, nginx::Nginx, repository::noise},
    world::{BOUNDS, World, rule},
};
use std::{fs, time::Duration};
use swarm_wire::{
    http::{Bytes, Client, Method, StatusCode},
    remote::{Options, Remote},
    remotes::Remotes,
};

fn remote(url: &str) -> Remote {
    Remote::new(url, &Options::default()).unwrap()
}

#[tokio::test]
async fn http_is_walked_over_one_connection() {
    let world = World::new();
    let mut nginx = Nginx::http(world.dir.path(), "");
    world
        .walk(
            &mut remote(&format!("{}/git/deploy.git", nginx.origin)),
            true,
        )
        .await;
    let seen = nginx.seen(7);
    assert_eq!(
        seen.len(),
        7,
        "one advertisement and six requests: {seen:?}"
    );
    assert!(
        seen.iter()
            .all(|request| request.connection == seen[0].connection),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_poll_that_finds_nothing_costs_less_than_a_kilobyte_with_ten_thousand_refs() {
    let world = World::new();
    let many: Vec<_> = (0..10_000)
        .map(|n| format!("create refs/tags/t{n} {}", world.second))
        .collect();
    let list = world.path("refs");
    fs::write(&list, many.join("\n") + "\n").unwrap();
    crate::support::run(
        crate::support::git_command(&world.repository)
            .args(["update-ref", "--stdin"])
            .stdin(fs::File::open(list).unwrap()),
    );
    let mut nginx = Nginx::http(world.dir.path(), "");
    let mut remote = remote(&format!("{}/git/deploy.git", nginx.origin));
    for _ in 0..3 {
        assert_eq!(remote.look("main").await, Ok(Some(world.second)));
    }
    let seen = nginx.seen(4);
    let poll = &seen[3];
    assert!(poll.received + poll.sent < 1024, "{poll:?}");
    assert_eq!(poll.connection, seen[0].connection);
}

#[tokio::test]
async fn without_filters_everything_comes() {
    let world = World::new();
    git(
        &world.repository,
        &["config", "uploadpack.allowFilter", "false"],
    );
    let nginx = Nginx::http(world.dir.path(), "");
    world
        .walk(
            &mut remote(&format!("{}/git/deploy.git", nginx.origin)),
            false,
        )
        .await;
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let world = World::new();
    let mut nginx = Nginx::http(world.dir.path(), "keepalive_requests 2;");
    let mut remote = remote(&format!("{}/git/deploy.git", nginx.origin));
    for _ in 0..4 {
        assert_eq!(remote.look("main").await, Ok(Some(world.second)));
    }
    let seen = nginx.seen(5);
    assert_eq!(
        seen.iter()
            .filter(|request| request.method == "GET")
            .count(),
        1,
        "what the server can is known already: {seen:?}"
    );
    assert_eq!(
        seen.iter()
            .map(|request| request.connection)
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        3
    );
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_only() {
    let world = World::new();
    let extra = "location /moved/ { rewrite ^/moved(.*)$ /git$1 redirect; }
        location /away/ { return 302 http://localhost:1/git/deploy.git/info/refs?service=git-upload-pack; }
        location /round/ { return 302 /round/deploy.git/info/refs?service=git-upload-pack; }
        location /file/ { return 302 file:///etc/info/refs?service=git-upload-pack; }";
    let mut nginx = Nginx::http(world.dir.path(), extra);
    assert_eq!(
        remote(&format!("{}/moved/deploy.git", nginx.origin))
            .look("main")
            .await,
        Ok(Some(world.second))
    );
    assert_eq!(
        nginx
            .seen(3)
            .iter()
            .map(|request| request.status)
            .collect::<Vec<_>>(),
        [302, 200, 200]
    );
    for place in ["away", "round", "file"] {
        let (id, text) = rule(
            remote(&format!("{}/{place}/deploy.git", nginx.origin))
                .look("main")
                .await,
        );
        assert_eq!(id, "S-GIT-08", "{text}");
    }
}

#[tokio::test]
async fn credentials_come_from_the_file_or_the_url_and_are_never_shown() {
    let world = World::new();
    let mut nginx = Nginx::http(world.dir.path(), "");
    let url = format!("{}/locked/deploy.git", nginx.origin);
    let (id, text) = rule(remote(&url).look("main").await);
    assert_eq!(id, "S-GIT-07", "{text}");
    let file = world.path("credentials");
    fs::write(
        &file,
        format!(
            "https://a:b@other.example\nhttp://box:s3cret@127.0.0.1:{}\n",
            nginx.port
        ),
    )
    .unwrap();
    let options = Options {
        credentials_file: Some(file.clone()),
        ..Options::default()
    };
    let mut with_file = Remote::new(&url, &options).unwrap();
    assert_eq!(with_file.look("main").await, Ok(Some(world.second)));
    let with_user = url.replace("http://", "http://box:s3cret@");
    let mut in_url = remote(&with_user);
    assert_eq!(in_url.look("main").await, Ok(Some(world.second)));
    assert_eq!(in_url.shown_url(), url);
    let (id, text) = rule(
        remote(&with_user.replace("s3cret", "wr0ng"))
            .look("main")
            .await,
    );
    assert!(id == "S-GIT-07" && !text.contains("wr0ng"), "{text}");
    // Rotated: the file is read anew after a refusal.
    fs::write(&file, "").unwrap();
    let mut rotated = Remote::new(&url, &options).unwrap();
    assert_eq!(rule(rotated.look("main").await).0, "S-GIT-07");
    fs::write(
        &file,
        format!("http://box:s3cret@127.0.0.1:{}\n", nginx.port),
    )
    .unwrap();
    assert_eq!(rotated.look("main").await, Ok(Some(world.second)));
    assert!(
        nginx
            .seen(1)
            .iter()
            .all(|request| request.status == 401 || request.authorization.starts_with("Basic "))
    );
}

#[tokio::test]
async fn what_is_no_repository_is_said_so() {
    let world = World::new();
    let nginx = Nginx::http(
        world.dir.path(),
        "location /page/ { default_type text/html; return 200 '<html>'; }",
    );
    assert_eq!(
        rule(
            remote(&format!("{}/git/nothing.git", nginx.origin))
                .look("main")
                .await
        )
        .0,
        "S-GIT-01"
    );
    assert_eq!(
        rule(
            remote(&format!("{}/page/", nginx.origin))
                .look("main")
                .await
        )
        .0,
        "S-GIT-03"
    );
    assert_eq!(
        rule(remote("http://127.0.0.1:1/x").look("main").await).0,
        "S-GIT-01"
    );
}

#[tokio::test]
async fn a_proxy_that_swallows_the_protocol_header_is_named() {
    let world = World::new();
    let nginx = Nginx::http(world.dir.path(), "");
    let swallow = format!(
        "location /x/ {{ proxy_pass {}/git/; proxy_set_header Git-Protocol ''; }}",
        nginx.origin
    );
    let elsewhere = World::new();
    let proxy = Nginx::http(elsewhere.dir.path(), &swallow);
    let (id, text) = rule(
        remote(&format!("{}/x/deploy.git", proxy.origin))
            .look("main")
            .await,
    );
    assert_eq!(id, "S-GIT-03");
    assert!(text.contains("Git-Protocol"), "{text}");
}

#[tokio::test]
async fn thousands_of_objects_are_asked_for_in_one_request() {
    let world = World::new();
    let names: Vec<String> = (0..3000).map(|n| format!("many/{n}")).collect();
    let contents: Vec<Vec<u8>> = (0..3000).map(|n| noise(n + 100, 40)).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(contents.iter().map(Vec::as_slice))
        .collect();
    crate::support::repository::commit(&world.repository, &files);
    let list = git(
        &world.repository,
        &["ls-tree", "-r", "--format=%(objectname)", "main", "many/"],
    );
    let want: Vec<_> = list.lines().map(|line| line.parse().unwrap()).collect();
    let nginx = Nginx::http(world.dir.path(), "");
    let mut remote = remote(&format!("{}/git/deploy.git", nginx.origin));
    let mut pack = Vec::new();
    remote.fetch_blobs(&want, &mut pack, &BOUNDS).await.unwrap();
    let mirror = crate::support::repository::bare(world.dir.path(), "mirror.git");
    crate::support::repository::index(&mirror, &pack);
    assert_eq!(
        crate::support::repository::objects(&mirror).len(),
        want.len()
    );
}

#[tokio::test]
async fn the_next_url_is_used_while_the_first_does_not_answer() {
    let world = World::new();
    let dead = world.path("gone.git").display().to_string();
    let mut remotes = Remotes::new(
        &[dead.clone(), world.repository.display().to_string()],
        &Options::default(),
    )
    .unwrap();
    assert_eq!(remotes.look("main").await, Ok(Some(world.second)));
    assert_eq!(
        remotes.current().shown_url(),
        world.repository.display().to_string()
    );
    let mut none =
        Remotes::new(&[dead.clone(), format!("{dead}-too")], &Options::default()).unwrap();
    let (id, text) = rule(none.look("main").await);
    assert!(id == "S-GIT-01" && text.contains("gone.git-too"), "{text}");
}

#[tokio::test]
async fn the_client_serves_others_too() {
    let world = World::new();
    let mut nginx = Nginx::http(
        world.dir.path(),
        "location /v1/ { default_type text/plain; return 200 'hello'; }",
    );
    let mut client = Client::new(&nginx.origin, None).unwrap();
    for _ in 0..2 {
        let answer = client
            .request(
                Method::POST,
                "/v1/x",
                &[],
                Bytes::from_static(b"{}"),
                100,
                Duration::from_secs(20),
            )
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (StatusCode::OK, &b"hello"[..])
        );
    }
    let answer = client
        .request(
            Method::GET,
            "/v1/x",
            &[],
            Bytes::new(),
            4,
            Duration::from_secs(20),
        )
        .await;
    assert!(
        answer
            .unwrap_err()
            .to_string()
            .contains("more than 4 bytes")
    );
    let seen = nginx.seen(3);
    assert_eq!(seen[0].connection, seen[1].connection);
}

use crate::{
    support::nginx::Nginx,
    world::{World, rule},
};
use swarm_wire::remote::{Options, Remote};

fn remote(url: &str, nginx: &Nginx) -> Remote {
    Remote::new(
        url,
        &Options {
            ca: Some(nginx.ca.clone()),
            ..Options::default()
        },
    )
    .unwrap()
}

#[tokio::test]
async fn https_with_an_authority_of_ones_own_is_walked_over_one_connection() {
    let world = World::new();
    let mut nginx = Nginx::https(world.dir.path(), "");
    world
        .walk(
            &mut remote(&format!("{}/git/deploy.git", nginx.origin), &nginx),
            true,
        )
        .await;
    let seen = nginx.seen(7);
    assert!(
        seen.iter()
            .all(|request| request.connection == seen[0].connection),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let world = World::new();
    let nginx = Nginx::https(world.dir.path(), "");
    let mut stranger = Remote::new(
        &format!("{}/git/deploy.git", nginx.origin),
        &Options::default(),
    )
    .unwrap();
    let (id, text) = rule(stranger.look("main").await);
    assert_eq!(id, "S-GIT-06");
    assert!(text.contains("`ca`"), "{text}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let world = World::new();
    let nginx = Nginx::https(world.dir.path(), "");
    let (id, text) = rule(
        remote(
            &format!("https://127.0.0.1:{}/git/deploy.git", nginx.port),
            &nginx,
        )
        .look("main")
        .await,
    );
    assert_eq!(id, "S-GIT-06");
    assert!(text.contains("name"), "{text}");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let world = World::new();
    let plain = Nginx::http(world.dir.path(), "");
    let extra = format!(
        "location /down/ {{ rewrite ^/down(.*)$ http://localhost:{}/git$1 redirect; }}",
        plain.port
    );
    let nginx = Nginx::https(world.dir.path(), &extra);
    let (id, _) = rule(
        remote(&format!("{}/down/deploy.git", nginx.origin), &nginx)
            .look("main")
            .await,
    );
    assert_eq!(id, "S-GIT-08");
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_named() {
    let world = World::new();
    let nginx = Nginx::https(world.dir.path(), "");
    let options = Options {
        ca: Some(world.repository.join("HEAD")),
        ..Options::default()
    };
    let (id, text) = rule(
        Remote::new(&nginx.origin, &options)
            .unwrap()
            .look("main")
            .await,
    );
    assert!(id == "S-GIT-06" && text.contains("HEAD"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_none() {
    let world = World::new();
    let nginx = Nginx::http(world.dir.path(), "");
    let url = format!("https://localhost:{}/git/deploy.git", nginx.port);
    assert_eq!(
        rule(
            Remote::new(&url, &Options::default())
                .unwrap()
                .look("main")
                .await
        )
        .0,
        "S-GIT-06"
    );
}

#[tokio::test]
async fn a_self_signed_certificate_named_as_ca_is_taken_for_its_name_only() {
    let world = World::new();
    let nginx = Nginx::self_signed(world.dir.path());
    let mut by_name = remote(&format!("{}/git/deploy.git", nginx.origin), &nginx);
    assert_eq!(by_name.look("main").await, Ok(Some(world.second)));
    let other_name = format!("https://127.0.0.1:{}/git/deploy.git", nginx.port);
    assert_eq!(
        rule(remote(&other_name, &nginx).look("main").await).0,
        "S-GIT-06"
    );
    let mut stranger = Remote::new(
        &format!("{}/git/deploy.git", nginx.origin),
        &Options::default(),
    )
    .unwrap();
    assert_eq!(rule(stranger.look("main").await).0, "S-GIT-06");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_even_if_it_is_the_ca() {
    let world = World::new();
    let nginx = Nginx::expired(world.dir.path());
    let (id, text) = rule(
        remote(&format!("{}/git/deploy.git", nginx.origin), &nginx)
            .look("main")
            .await,
    );
    assert!(
        id == "S-GIT-06" && text.contains("renew the certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn another_self_signed_certificate_of_the_same_name_is_refused() {
    let (world, elsewhere) = (World::new(), World::new());
    let known = Nginx::self_signed(world.dir.path());
    let impostor = Nginx::self_signed(elsewhere.dir.path());
    let mut remote = remote(&format!("{}/git/deploy.git", impostor.origin), &known);
    assert_eq!(rule(remote.look("main").await).0, "S-GIT-06");
}

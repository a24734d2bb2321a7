//! The webhook's endpoint as the configuration has it: it moves when that does, and takes new secrets as they come.
//!
//! Touches a listening socket, the secret file, and inotify on it.

use super::{
    SETTLE, Wake,
    files::{self, Files},
    webhook,
};
use crate::settings::Config;
use std::{io, rc::Rc, time::Duration};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// An address that is taken is tried again so often.
const AGAIN: Duration = Duration::from_secs(10);

/// The webhook's endpoint, as long as the configuration names one; it moves when that does, and takes new secrets as they come.
pub async fn serve(
    mut config: watch::Receiver<Rc<Config>>,
    mut reloads: watch::Receiver<u64>,
    wake: Wake,
    trouble: watch::Sender<Option<String>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        trouble.send_replace(None);
        let Some(hook) = config.borrow_and_update().settings.webhook.clone() else {
            config.changed().await?;
            continue;
        };
        let read = || {
            webhook::secrets(hook.secret_file.as_deref()).unwrap_or_else(|why| {
                tracing::warn!(why);
                webhook::Secrets::default()
            })
        };
        let (fresh, secrets) = watch::channel(read());
        let served = async {
            match TcpListener::bind(&hook.listen).await {
                Ok(listener) => webhook::serve(listener, secrets, wake.clone(), stop.clone()).await,
                Err(error) => {
                    let why = cannot_listen(&hook.listen, &error);
                    tracing::error!(listen = hook.listen, "{why}");
                    trouble.send_replace(Some(why));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::pin!(served);
        loop {
            tokio::select! {
                () = &mut served => break,
                changed = config.changed() => {
                    changed?;
                    if config.borrow().settings.webhook.as_ref() != Some(&hook) {
                        break;
                    }
                }
                changed = reloads.changed() => {
                    changed?;
                    tokio::time::sleep(SETTLE).await;
                    fresh.send_replace(read());
                }
            }
        }
    }
}

/// Why there are no webhooks, and what to do; who has the port only root may see.
fn cannot_listen(listen: &str, error: &io::Error) -> String {
    let advice = match (error.kind(), listen.rsplit_once(':')) {
        (io::ErrorKind::AddrInUse, Some((_, port))) => format!(
            "another program has the port (ss -ltnp 'sport = :{port}' names it): end it, or choose another"
        ),
        _ => "correct".into(),
    };
    format!(
        "webhooks cannot be taken at {listen}: {error}; {advice} [webhook] listen; tried again every {} s, polls go on",
        AGAIN.as_secs()
    )
}

/// Watches agent.toml and the webhook's secrets: counts up, from another thread.
pub fn watch_configuration(config: &Config, reloads: &watch::Sender<u64>) -> Vec<Files> {
    let secret = config
        .settings
        .webhook
        .as_ref()
        .and_then(|webhook| webhook.secret_file.clone());
    let changed = || {
        let reloads = reloads.clone();
        move || reloads.send_modify(|count| *count += 1)
    };
    [Some(config.file.clone()), secret]
        .into_iter()
        .flatten()
        .filter_map(|file| files::watch_file(&file, changed()))
        .collect()
}

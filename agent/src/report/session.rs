//! Who this box is to its map: a session by signed challenge, and where the map does not know the key, an enrolment before it.
//!
//! Touches the network and the enrolment token.

use super::{Peer, Reporter, post};
use anyhow::{Context, bail};
use std::{io::ErrorKind, time::Duration};
use swarm_manifests::{
    report::{
        Challenge, ENROL_NAMESPACE, Enrol, SESSION_NAMESPACE, Session, SessionRequest,
        enrol_statement, session_statement,
    },
    signature,
};
use swarm_wire::http::StatusCode;
use tokio::time::Instant;

impl Reporter {
    /// The session that there is, or a new one; enrols where the map does not know the key.
    pub(super) async fn session(&mut self, peer: &mut Peer) -> anyhow::Result<String> {
        if let Some((session, until)) = &self.session
            && Instant::now() < *until
        {
            return Ok(session.clone());
        }
        let session = match self.log_in(peer).await? {
            Ok(session) => session,
            Err((status, text))
                if !matches!(
                    status,
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
                ) =>
            {
                bail!("the map answers {status}: {text}")
            }
            Err((status, text)) => {
                let Some(token) = token(peer)? else {
                    self.out.send_modify(|state| state.state = "pending");
                    bail!(
                        "the map does not know this box's key ({status}: {text}); make a token there: swarm-map token --box {} [S-MAP-01]",
                        peer.name
                    );
                };
                self.enrol(peer, token).await?;
                let again = self.log_in(peer).await?;
                again.map_err(|(status, text)| {
                    anyhow::anyhow!("enrolled, but the map answers {status}: {text}")
                })?
            }
        };
        let until =
            Instant::now() + Duration::from_secs(session.expires_in_s.clamp(1, 86_400)) * 9 / 10;
        self.sessions.send_replace(Some(session.session.clone()));
        self.session = Some((session.session.clone(), until));
        Ok(session.session)
    }

    async fn log_in(
        &self,
        peer: &mut Peer,
    ) -> anyhow::Result<Result<Session, (StatusCode, String)>> {
        let key = self.key.public_key().to_openssh()?;
        let ask = SessionRequest {
            key: key.clone(),
            nonce: None,
            signature: None,
        };
        let challenge: Challenge = match post(&mut peer.client, "/v1/session", None, &ask).await? {
            Ok(challenge) => challenge,
            Err(refused) => return Ok(Err(refused)),
        };
        let fingerprint = self.key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let statement = session_statement(&peer.map.url, &challenge.nonce, &fingerprint);
        let signature = signature::sign(&self.key, SESSION_NAMESPACE, statement.as_bytes())?;
        let answer = SessionRequest {
            key,
            nonce: Some(challenge.nonce),
            signature: Some(signature),
        };
        post(&mut peer.client, "/v1/session", None, &answer).await
    }

    async fn enrol(&self, peer: &mut Peer, token: String) -> anyhow::Result<()> {
        let fingerprint = self.key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let statement = enrol_statement(&peer.map.url, &peer.name, &token, &fingerprint);
        let enrol = Enrol {
            box_name: peer.name.clone(),
            key: self.key.public_key().to_openssh()?,
            token,
            signature: signature::sign(&self.key, ENROL_NAMESPACE, statement.as_bytes())?,
        };
        match post::<_, serde_json::Value>(&mut peer.client, "/v1/enrol", None, &enrol).await? {
            Ok(_) => {
                tracing::info!(map = peer.map.url, "enrolled");
                Ok(())
            }
            Err((status, text)) => {
                bail!("the map does not enrol this box ({status}: {text}) [S-MAP-01]")
            }
        }
    }
}

fn token(peer: &Peer) -> anyhow::Result<Option<String>> {
    let Some(file) = &peer.map.token_file else {
        return Ok(None);
    };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            Ok(Some(text.trim().to_string())
                .filter(|token| !token.is_empty() && token.len() <= 4096))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read [map] token-file {}", file.display()))
        }
    }
}

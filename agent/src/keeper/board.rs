//! What the map is told of the box: state and rows, whole, where something changed. Pure, but for the keeper's own state.

use super::{Gone, Inlets, Keeper};
use crate::report::{Ask, Board};
use swarm_manifests::report::BoxStatus;
use swarm_supervisor::protocol::FromAgent;

impl Keeper {
    pub(super) async fn tell_reporter(&mut self, ask: Ask, inlets: &Inlets) -> Result<(), Gone> {
        match ask {
            Ask::Board(ask) => drop(ask.send(self.board(inlets))),
            Ask::Measures(ask) => {
                self.weighing = Some(ask);
                self.tell(FromAgent::Weigh).await?;
            }
        }
        Ok(())
    }

    fn board(&self, inlets: &Inlets) -> Board {
        let picture = inlets.picture.borrow().clone();
        let contact = inlets.contact.borrow().clone();
        let trusted = picture.trusted();
        Board {
            status: BoxStatus {
                facts: picture.here.facts.clone(),
                location: self.config.borrow().settings.location,
                commit: trusted.map(|(head, _)| head.to_string()),
                position: trusted.map(|(_, position)| position),
                remote: contact.url.clone(),
                remote_head: contact.head.map(|head| head.to_string()),
                trouble: picture.trouble.clone(),
                // The reporter knows.
                freshness: None,
                warnings: self.warnings(&picture, inlets),
                protections: self.protections(),
            },
            rows: self
                .actual
                .values()
                .flat_map(|actual| actual.rows.iter().cloned())
                .collect(),
        }
    }
}

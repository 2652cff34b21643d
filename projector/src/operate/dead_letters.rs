//! `projector dead-letters`.

use clap::Subcommand;
use domain::key::DeliveryId;
use runtime::nats::Nats;

use super::Output;
use crate::dead_letters::{self, Letter};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// All of them, with reasons.
    List,
    /// One with its headers and its payload.
    Show {
        /// Its delivery id.
        id: DeliveryId,
    },
    /// Puts it into the inbox again, as `<id>.replay-<n>`.
    Replay {
        /// Its delivery id.
        #[arg(required_unless_present = "all")]
        id: Option<DeliveryId>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Forgets it.
    Drop {
        /// Its delivery id.
        id: DeliveryId,
    },
}

impl Action {
    pub(super) async fn run(self, nats: &Nats, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let letters = dead_letters::list(nats).await?;
                output.show(&letters, || text(&letters))
            }
            Self::Show { id } => {
                let letter = dead_letters::find(nats, &id).await?;
                output.show(&letter, || {
                    format!("{}\n\n{}", text(std::slice::from_ref(&letter)), letter.payload)
                })
            }
            Self::Replay { id: Some(id), .. } => {
                replay(nats, output, &dead_letters::find(nats, &id).await?).await
            }
            Self::Replay { id: None, .. } => {
                for letter in dead_letters::list(nats).await? {
                    replay(nats, output, &letter).await?;
                }
                Ok(())
            }
            Self::Drop { id } => {
                let letter = dead_letters::find(nats, &id).await?;
                dead_letters::remove(nats, &letter).await?;
                output.say(&format!("dropped {id}: {}", letter.reason))
            }
        }
    }
}

async fn replay(nats: &Nats, output: &Output, letter: &Letter) -> anyhow::Result<()> {
    let id = dead_letters::replay(nats, letter).await?;
    output.say(&format!("replayed {} as {id}", letter.id))
}

fn text(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letters: nothing was set aside".to_owned();
    }
    let line = |letter: &Letter| {
        format!(
            "{}  since {}  {} attempts  {}",
            letter.id, letter.first_failure, letter.n_attempts, letter.reason
        )
    };
    letters.iter().map(line).collect::<Vec<_>>().join("\n")
}

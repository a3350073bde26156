//! What changes do to pipelines.

use std::sync::Arc;

use millpond_proto::catalog::{AddPipeline, PipelineVersion};

use super::{CatalogState, Error};

impl CatalogState {
    pub(super) fn add_pipeline(&mut self, added: &AddPipeline) -> Result<(), Error> {
        let Some(version) = &added.version else {
            return Err(self.unknown_change());
        };
        let entry = self.pipelines.entry(added.name.clone()).or_default();
        let mut pipeline = entry.as_ref().clone();
        pipeline.name.clone_from(&added.name);
        let number = pipeline.versions.last().map_or(1, |last| last.version + 1);
        pipeline.versions.push(PipelineVersion {
            version: number,
            ..version.clone()
        });
        let keep = (added.keep as usize).max(1);
        let surplus = pipeline.versions.len().saturating_sub(keep);
        pipeline.versions.drain(..surplus);
        *entry = Arc::new(pipeline);
        Ok(())
    }

    pub(super) fn drop_pipeline(&mut self, name: &str) -> Result<(), Error> {
        match self.pipelines.remove(name) {
            Some(_) => Ok(()),
            None => Err(Error::UnknownPipeline {
                name: name.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proto::catalog::{Change, ChangeKind, DropPipeline};

    #[test]
    fn versions_are_numbered_and_the_oldest_go() {
        let mut state = CatalogState::default();
        let add = Change {
            kind: Some(ChangeKind::AddPipeline(AddPipeline {
                name: "p".to_string(),
                version: Some(PipelineVersion::default()),
                keep: 2,
            })),
        };
        for _ in 0..3 {
            state.apply(&add).unwrap();
        }
        let numbers = |state: &CatalogState| -> Vec<u64> {
            state.pipelines["p"]
                .versions
                .iter()
                .map(|version| version.version)
                .collect()
        };
        assert_eq!(numbers(&state), [2, 3]);
        let stored = CatalogState::from_snapshot("snapshot", &state.to_snapshot()).unwrap();
        assert_eq!(stored, state);
        let drop = Change {
            kind: Some(ChangeKind::DropPipeline(DropPipeline {
                name: "p".to_string(),
            })),
        };
        state.apply(&drop).unwrap();
        assert!(state.apply(&drop).is_err(), "there is none any more");
    }
}

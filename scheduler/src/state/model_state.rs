//! What changes do to models.

use std::sync::Arc;

use millpond_proto::catalog::{AddModelVersion, Model, ModelVersion, ServeModel};

use super::{CatalogState, Error};

impl CatalogState {
    pub(super) fn put_model(&mut self, model: &Model) -> Result<(), Error> {
        self.models.insert(model.name.clone(), Arc::new(model.clone()));
        Ok(())
    }

    pub(super) fn add_model_version(&mut self, added: &AddModelVersion) -> Result<(), Error> {
        let Some(version) = &added.version else {
            return Err(self.unknown_change());
        };
        let model = self.model_mut(&added.name)?;
        if model.created_at_ms != added.model_created_at_ms {
            return Err(Error::UnknownModel {
                name: added.name.clone(),
            });
        }
        let number = model.versions.last().map_or(1, |last| last.version + 1);
        model.versions.push(ModelVersion {
            version: number,
            ..version.clone()
        });
        let keep = (added.keep as usize).max(1);
        let surplus = model.versions.len().saturating_sub(keep);
        let first_kept = model.versions[surplus].version;
        let served = model.served;
        model
            .versions
            .retain(|version| version.version >= first_kept || Some(version.version) == served);
        Ok(())
    }

    pub(super) fn serve_model(&mut self, served: &ServeModel) -> Result<(), Error> {
        let model = self.model_mut(&served.name)?;
        let is_there = |number| model.versions.iter().any(|version| version.version == number);
        match served.version.is_none_or(is_there) {
            true => {
                model.served = served.version;
                Ok(())
            }
            false => Err(Error::UnknownModel {
                name: served.name.clone(),
            }),
        }
    }

    pub(super) fn drop_model(&mut self, name: &str) -> Result<(), Error> {
        match self.models.remove(name) {
            Some(_) => Ok(()),
            None => Err(Error::UnknownModel {
                name: name.to_string(),
            }),
        }
    }

    fn model_mut(&mut self, name: &str) -> Result<&mut Model, Error> {
        match self.models.get_mut(name) {
            Some(model) => Ok(Arc::make_mut(model)),
            None => Err(Error::UnknownModel {
                name: name.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proto::catalog::{Change, ChangeKind, DropModel};

    fn apply(state: &mut CatalogState, kind: ChangeKind) -> Result<(), Error> {
        state.apply(&Change { kind: Some(kind) })
    }

    fn made_at(created_at_ms: u64) -> ChangeKind {
        ChangeKind::PutModel(Model {
            name: "m".to_string(),
            created_at_ms,
            ..Model::default()
        })
    }

    fn trained(model_created_at_ms: u64) -> ChangeKind {
        ChangeKind::AddModelVersion(AddModelVersion {
            name: "m".to_string(),
            model_created_at_ms,
            version: Some(ModelVersion::default()),
            keep: 2,
        })
    }

    fn serve(version: Option<u64>) -> ChangeKind {
        ChangeKind::ServeModel(ServeModel {
            name: "m".to_string(),
            version,
        })
    }

    fn numbers(state: &CatalogState) -> Vec<u64> {
        let versions = state.models["m"].versions.iter();
        versions.map(|version| version.version).collect()
    }

    #[test]
    fn the_version_that_answers_stays_when_old_ones_go() {
        let mut state = CatalogState::default();
        apply(&mut state, made_at(1)).unwrap();
        for _ in 0..2 {
            apply(&mut state, trained(1)).unwrap();
        }
        apply(&mut state, serve(Some(1))).unwrap();
        for _ in 0..2 {
            apply(&mut state, trained(1)).unwrap();
        }
        assert_eq!(numbers(&state), [1, 3, 4]);
        let stored = CatalogState::from_snapshot("snapshot", &state.to_snapshot()).unwrap();
        assert_eq!(stored, state);
        assert!(apply(&mut state, serve(Some(2))).is_err(), "it is gone");
        apply(&mut state, serve(None)).unwrap();
        apply(&mut state, trained(1)).unwrap();
        assert_eq!(numbers(&state), [4, 5]);
    }

    #[test]
    fn what_another_model_of_that_name_has_learned_is_refused() {
        let mut state = CatalogState::default();
        apply(&mut state, made_at(1)).unwrap();
        apply(&mut state, made_at(2)).unwrap();
        assert!(apply(&mut state, trained(1)).is_err());
        apply(&mut state, trained(2)).unwrap();
        let drop = || {
            ChangeKind::DropModel(DropModel {
                name: "m".to_string(),
            })
        };
        apply(&mut state, drop()).unwrap();
        assert!(apply(&mut state, drop()).is_err(), "there is none any more");
    }
}

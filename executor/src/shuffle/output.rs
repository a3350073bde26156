//! The files that one task writes, by Ballista's rules.
//!
//! A writer that sorts rows by bucket has a folder of its own, `<job>/<stage>/<task>`, also for what it spills. The others
//! write `<job>/<stage>/<output partition>/data-<task>.arrow`, in folders that they share with other tasks. So it
//! is one folder or some files that are in memory or links.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::execution_plans::range_shuffle::index_path;
use ballista_core::execution_plans::{RangeShuffleWriterExec, SortShuffleWriterExec, create_shuffle_path};
use datafusion::error::Result;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Paths of what a task writes, relative to the folder of all jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// A folder, in which so many writers may spill.
    Folder { path: PathBuf, spills: usize },
    /// Files in shared folders.
    Files(Vec<PathBuf>),
}

impl Output {
    /// What `plan`, which starts with a shuffle writer, writes as this task.
    pub(super) fn of(
        plan: &Arc<dyn ExecutionPlan>,
        job: &JobId,
        stage: usize,
        task: usize,
        output_partitions: &[usize],
    ) -> Result<Self> {
        if let Some(writer) = plan.downcast_ref::<SortShuffleWriterExec>() {
            let inputs = writer
                .children()
                .into_iter()
                .map(|input| input.output_partitioning().partition_count());
            return Ok(Self::Folder {
                path: stage_path(job, stage).join(task.to_string()),
                spills: inputs.sum(),
            });
        }
        let indexed = plan.is::<RangeShuffleWriterExec>();
        let mut files = Vec::with_capacity(output_partitions.len());
        for partition in output_partitions {
            let file = create_shuffle_path("", job, stage, *partition, Some(task as u64), false)?;
            if indexed {
                files.push(index_path(&file));
            }
            files.push(file);
        }
        Ok(Self::Files(files))
    }

    /// Makes room for the task below `memory`, with its spills below `disk`.
    pub(super) fn prepare_in_memory(&self, memory: &Path, disk: &Path) -> io::Result<()> {
        self.remove(memory)?;
        let Self::Folder { path, spills } = self else {
            return Ok(());
        };
        fs::create_dir_all(memory.join(path))?;
        for number in 0..*spills {
            // Ballista's name for it.
            let spill = path.join(format!("spill-{number}"));
            fs::create_dir_all(disk.join(&spill))?;
            symlink(disk.join(&spill), memory.join(&spill))?;
        }
        Ok(())
    }

    /// Makes links below `memory`, so that the task writes below `disk`.
    pub(super) fn prepare_on_disk(&self, memory: &Path, disk: &Path) -> io::Result<()> {
        self.remove(memory)?;
        match self {
            Self::Folder { path, .. } => {
                fs::create_dir_all(disk.join(path))?;
                link(memory, disk, path)
            }
            Self::Files(files) => files.iter().try_for_each(|file| {
                create_folder_of(&disk.join(file))?;
                link(memory, disk, file)
            }),
        }
    }

    /// Bytes that the task has written below `memory`, without its spills, if that is where it writes.
    pub(super) fn bytes(&self, memory: &Path) -> u64 {
        let length = |path: &Path| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        };
        match self {
            Self::Folder { path, .. } => fs::read_dir(memory.join(path))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| length(&entry.path()))
                .sum(),
            Self::Files(files) => files.iter().map(|file| length(&memory.join(file))).sum(),
        }
    }

    /// Removes what an attempt of the task left below `root`, or the links there.
    pub(super) fn remove(&self, root: &Path) -> io::Result<()> {
        let removed = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        match self {
            Self::Folder { path, .. } => removed(fs::remove_dir_all(root.join(path))),
            Self::Files(files) => files
                .iter()
                .try_for_each(|file| removed(fs::remove_file(root.join(file)))),
        }
    }
}

/// The folder of a stage, relative to that of all jobs.
pub(super) fn stage_path(job: &JobId, stage: usize) -> PathBuf {
    Path::new(job.as_str()).join(stage.to_string())
}

fn link(memory: &Path, disk: &Path, path: &Path) -> io::Result<()> {
    let link = memory.join(path);
    create_folder_of(&link)?;
    symlink(disk.join(path), link)
}

fn create_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

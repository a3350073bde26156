//! Places of tasks, their limits and what is left of them, on a folder that stands for the memory file system.

use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

/// A folder that stands for memory and one for the disk.
struct Folders {
    memory: TempDir,
    disk: TempDir,
    dir: Arc<ShuffleDir>,
}

impl Folders {
    fn new(limit_bytes: u64) -> Self {
        let (memory, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let budget = Budget::new(256 * MIB, 256 * MIB / 2, 1);
        let dir = ShuffleDir::new(memory.path().into(), disk.path().into(), limit_bytes, &budget);
        let dir = Arc::new(dir);
        Self { memory, disk, dir }
    }

    fn place(&self, stage: usize, task: usize, output: Output) -> Place {
        self.dir.place(&JobId::new("job"), stage, task, output).unwrap()
    }

    /// The place of a task with a folder of its own.
    fn sorted(&self, stage: usize, task: usize) -> Place {
        let path = format!("job/{stage}/{task}").into();
        self.place(stage, task, Output::Folder { path, spills: 1 })
    }

    /// Writes as Ballista does, which creates the folder.
    fn write(&self, path: &str, bytes: u64) {
        let path = self.memory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![7; bytes as usize]).unwrap();
    }

    fn in_memory(&self, path: &str) -> bool {
        self.memory.path().join(path).exists()
    }

    fn on_disk(&self, path: &str) -> bool {
        self.disk.path().join(path).exists()
    }

    fn bytes(&self) -> u64 {
        self.dir.in_use().memory_bytes
    }

    /// Removes the job as Ballista does.
    fn remove_job(&self) {
        fs::remove_dir_all(self.memory.path().join("job")).unwrap();
    }
}

#[test]
fn what_fits_is_in_memory_and_its_spills_are_not() {
    let folders = Folders::new(8 * MIB);
    let place = folders.sorted(1, 0);
    folders.write("job/1/0/spill-0/part-1.arrow", MIB);
    assert!(folders.on_disk("job/1/0/spill-0/part-1.arrow"));
    folders.write("job/1/0/data.arrow", 3 * MIB);
    // As Ballista's writer does it at the end.
    fs::remove_dir_all(folders.memory.path().join("job/1/0/spill-0")).unwrap();
    place.keep();
    drop(place);
    assert_eq!(folders.bytes(), 3 * MIB);
    assert!(folders.in_memory("job/1/0/data.arrow") && !folders.on_disk("job/1/0"));
}

#[test]
fn what_does_not_fit_is_on_disk_behind_links() {
    let folders = Folders::new(4 * MIB);
    let first = folders.sorted(1, 0);
    folders.write("job/1/0/data.arrow", 4 * MIB);
    first.keep();
    let folder = folders.sorted(1, 1);
    let files = ["job/2/7/data-1.arrow", "job/2/8/data-1.arrow"];
    let shared = folders.place(2, 1, Output::Files(files.map(PathBuf::from).to_vec()));
    for path in files.iter().chain(&["job/1/1/data.arrow"]) {
        folders.write(path, MIB);
        assert!(folders.on_disk(path) && folders.in_memory(path), "{path}");
    }
    for place in [folder, shared] {
        assert!(!place.is_in_memory());
        place.keep();
    }
    let used = folders.dir.in_use();
    assert_eq!(
        (used.memory_bytes, used.tasks_in_memory, used.tasks_on_disk),
        (4 * MIB, 1, 2)
    );
}

#[test]
fn a_removed_job_frees_memory_for_the_next_task_and_the_disk_at_the_next_sweep() {
    let folders = Folders::new(4 * MIB);
    let first = folders.sorted(1, 0);
    folders.write("job/1/0/data.arrow", 4 * MIB);
    first.keep();
    let second = folders.sorted(1, 1);
    folders.write("job/1/1/data.arrow", MIB);
    second.keep();
    folders.dir.sweep();
    assert!(folders.in_memory("job/1/1/data.arrow"));
    folders.remove_job();
    let other = folders
        .dir
        .place(&JobId::new("other"), 1, 0, Output::Files(vec![]))
        .unwrap();
    assert!(other.is_in_memory());
    assert!(folders.on_disk("job/1/1/data.arrow"));
    folders.dir.sweep();
    assert!(!folders.on_disk("job"));
    assert_eq!(fs::read_dir(folders.disk.path()).unwrap().count(), 0);
}

#[test]
fn a_removed_stage_goes_and_the_others_stay() {
    let folders = Folders::new(8 * MIB);
    for stage in [1, 2] {
        let place = folders.sorted(stage, 0);
        folders.write(&format!("job/{stage}/0/data.arrow"), MIB);
        place.keep();
    }
    fs::remove_dir_all(folders.memory.path().join("job/1")).unwrap();
    folders.dir.sweep();
    assert_eq!(folders.bytes(), MIB);
    assert!(folders.in_memory("job/2/0/data.arrow"));
}

#[test]
fn what_a_cancelled_task_writes_later_goes_too() {
    let folders = Folders::new(8 * MIB);
    let place = folders.sorted(1, 0);
    folders.remove_job();
    folders.write("job/1/0/data.arrow", MIB);
    folders.dir.sweep();
    assert!(folders.in_memory("job"), "the task still runs");
    drop(place);
    folders.write("job/1/0/data.arrow", MIB);
    folders.dir.sweep();
    assert!(!folders.in_memory("job"));
    assert_eq!(
        (
            folders.bytes(),
            fs::read_dir(folders.memory.path()).unwrap().count()
        ),
        (0, 0)
    );
}

#[test]
fn a_task_that_is_not_kept_leaves_nothing() {
    let folders = Folders::new(8 * MIB);
    let place = folders.sorted(1, 0);
    folders.write("job/1/0/data.arrow", MIB);
    drop(place);
    assert!(!folders.in_memory("job/1/0") && !folders.on_disk("job/1/0"));
    assert_eq!(folders.bytes(), 0);
}

#[test]
fn a_late_end_of_an_earlier_attempt_leaves_the_later_one_alone() {
    let folders = Folders::new(8 * MIB);
    let earlier = folders.sorted(1, 0);
    let later = folders.sorted(1, 0);
    folders.write("job/1/0/data.arrow", MIB);
    drop(earlier);
    later.keep();
    assert!(folders.in_memory("job/1/0/data.arrow"));
    assert_eq!(folders.bytes(), MIB);
}

#[tokio::test]
async fn a_task_that_outgrows_memory_is_told_and_its_stage_goes_to_disk() {
    let folders = Folders::new(4 * MIB);
    let place = folders.sorted(1, 0);
    folders.write("job/1/0/data.arrow", 5 * MIB);
    let error = place.outgrown().await;
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    place.avoid_memory();
    assert!(!folders.in_memory("job/1/0"));
    assert!(!folders.sorted(1, 1).is_in_memory());
    assert!(folders.sorted(2, 0).is_in_memory(), "the file system has room");
}

#[test]
fn a_disk_is_no_memory() {
    let disk = tempfile::tempdir().unwrap();
    if memory_fs::is_in_memory(disk.path()).unwrap() {
        return;
    }
    let budget = Budget::new(256 * MIB, 256 * MIB / 2, 1);
    let error = ShuffleDir::open(disk.path(), None, PathBuf::new(), &budget).unwrap_err();
    assert!(error.contains("memory file system"), "{error}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

//! How much memory a node may use.
//!
//! A node asks once, at its start: an explicit number wins; otherwise it is a share of what the machine or the
//! container (cgroup) allows, whichever is less. The rest of the node only sees the resulting [`Limit`], which
//! remembers where it came from so that logs and errors can say so.

use std::fmt;

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// A number of bytes that prints with a binary unit, such as `512.0 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let power = (self.0.ilog2() / 10) as usize;
        write!(
            f,
            "{:.1} {}",
            self.0 as f64 / 1024f64.powi(power as i32),
            UNITS[power - 1]
        )
    }
}

/// Memory that exists, before any share of it is taken. Both in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available {
    /// Memory of the machine; `None` when the system does not tell.
    pub machine: Option<u64>,
    /// Limit of the container this process runs in; `None` outside of containers or where there is no limit.
    pub cgroup: Option<u64>,
}

impl Available {
    /// Asks the operating system.
    pub fn detect() -> Self {
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
        let cgroup = system
            .cgroup_limits()
            .map(|limits| limits.total_memory)
            .filter(|bytes| *bytes > 0 && Some(*bytes) != machine);
        Self { machine, cgroup }
    }
}

/// Where a [`Limit`] comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// Somebody wrote the number down.
    Configured,
    /// This fraction of the container's limit.
    Cgroup(f64),
    /// This fraction of the machine's memory.
    Machine(f64),
}

/// The most memory that a node may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The limit; at least [`Limit::LEAST_BYTES`].
    pub bytes: u64,
    /// Why it is this number.
    pub source: Source,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = Bytes(self.bytes);
        match self.source {
            Source::Configured => write!(f, "{size} (configured)"),
            Source::Cgroup(share) => write!(f, "{size} ({:.0} % of the container's memory)", share * 100.0),
            Source::Machine(share) => write!(f, "{size} ({:.0} % of the machine's memory)", share * 100.0),
        }
    }
}

/// Why no limit could be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The share is not a share.
    #[error("memory fraction must be more than 0 and at most 1, not {0}")]
    Fraction(f64),
    /// Less than any query could run in.
    #[error("memory limit {bytes} is too small, it must be at least {least}", bytes = Bytes(*.0), least = Bytes(Limit::LEAST_BYTES))]
    TooSmall(u64),
    /// The operating system does not say how much memory there is.
    #[error("the memory of this machine cannot be detected; set a memory limit")]
    Undetected,
}

impl Limit {
    /// Below this a single sort cannot hold the 10 MiB that it sets aside for merging its spilled runs.
    pub const LEAST_BYTES: u64 = 32 * 1024 * 1024;

    /// Decides the limit: `configured` bytes if given, else `fraction` of the smaller of machine and cgroup.
    ///
    /// # Errors
    /// A fraction outside of (0, 1], a limit under [`Limit::LEAST_BYTES`], or nothing to take a share of.
    pub fn resolve(configured: Option<u64>, fraction: f64, available: Available) -> Result<Self, Error> {
        let limit = match configured {
            Some(bytes) => Self {
                bytes,
                source: Source::Configured,
            },
            None => Self::share(fraction, available)?,
        };
        if limit.bytes < Self::LEAST_BYTES {
            return Err(Error::TooSmall(limit.bytes));
        }
        Ok(limit)
    }

    fn share(fraction: f64, available: Available) -> Result<Self, Error> {
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(Error::Fraction(fraction));
        }
        let of = |bytes: u64| (bytes as f64 * fraction) as u64;
        match (available.machine, available.cgroup) {
            (Some(machine), Some(cgroup)) if machine < cgroup => Ok(Self {
                bytes: of(machine),
                source: Source::Machine(fraction),
            }),
            (_, Some(cgroup)) => Ok(Self {
                bytes: of(cgroup),
                source: Source::Cgroup(fraction),
            }),
            (Some(machine), None) => Ok(Self {
                bytes: of(machine),
                source: Source::Machine(fraction),
            }),
            (None, None) => Err(Error::Undetected),
        }
    }
}

/// Physical memory of this process in bytes (resident set); `None` when the system does not tell.
pub fn process_resident_bytes() -> Option<u64> {
    let pid = Pid::from_u32(std::process::id());
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory().without_tasks(),
    );
    system.process(pid).map(sysinfo::Process::memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn check(
        configured: Option<u64>,
        fraction: f64,
        machine: Option<u64>,
        cgroup: Option<u64>,
    ) -> Result<Limit, Error> {
        Limit::resolve(configured, fraction, Available { machine, cgroup })
    }

    #[test]
    fn a_configured_limit_wins() {
        let limit = check(Some(3 * GIB), 0.5, Some(2 * GIB), Some(GIB)).unwrap();
        assert_eq!(
            limit,
            Limit {
                bytes: 3 * GIB,
                source: Source::Configured
            }
        );
    }

    #[test]
    fn a_share_is_taken_of_the_smaller() {
        let in_container = check(None, 0.5, Some(8 * GIB), Some(2 * GIB)).unwrap();
        assert_eq!(
            in_container,
            Limit {
                bytes: GIB,
                source: Source::Cgroup(0.5)
            }
        );
        let container_larger_than_machine = check(None, 0.5, Some(2 * GIB), Some(8 * GIB)).unwrap();
        assert_eq!(
            container_larger_than_machine,
            Limit {
                bytes: GIB,
                source: Source::Machine(0.5)
            }
        );
        let no_container = check(None, 1.0, Some(2 * GIB), None).unwrap();
        assert_eq!(
            no_container,
            Limit {
                bytes: 2 * GIB,
                source: Source::Machine(1.0)
            }
        );
    }

    #[test]
    fn impossible_limits_are_refused() {
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            assert!(
                matches!(check(None, fraction, Some(GIB), None), Err(Error::Fraction(_))),
                "{fraction}"
            );
        }
        assert_eq!(check(None, 0.5, None, None), Err(Error::Undetected));
        let error = check(Some(1024 * 1024), 0.5, Some(GIB), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory limit 1.0 MiB is too small, it must be at least 32.0 MiB"
        );
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (512 << 20, "512.0 MiB"),
            (3 * GIB / 2, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn this_machine_has_memory_and_this_process_uses_some() {
        let available = Available::detect();
        let resident = process_resident_bytes().unwrap();
        assert!(resident > 0 && resident < available.machine.unwrap());
    }
}

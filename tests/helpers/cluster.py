"""A real Slurm for tests: one node, four placeholder GPUs, all in one temporary folder and on loopback.

No systemd, cgroups, accounting database or graphics GPU is needed; root only where packages are missing.

    with Cluster(folder) as cluster:
        subprocess.run(["squeue"], env=cluster.environment)
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
WITH_SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"
START_SECONDS, STOP_SECONDS = 30, 30

# Placeholders must be character devices of different paths, or slurmd assigns none: links to the null device do.
GRES = "AutoDetect=off\nNodeName={host} Name=gpu File={folder}/gpu[0-{last}]\n"
# config_overrides: the node may say that it has more cores and memory than it has.
# MinJobAge: squeue tells of finished jobs that long. JobRequeue: a lost job is retried by Snakemake alone.
CONF = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=0
SlurmdTimeout=60
KillWait=5
MinJobAge=3600
NodeName={host} NodeAddr={address} CPUs=16 RealMemory=200000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# The jobstep plugin takes SLURM_CONF away before its srun, which would look in /etc/slurm then.
SRUN = '#!/bin/sh\nSLURM_CONF={conf} exec {srun} "$@"\n'
# The plugin asks sacct for states in any round in which slurmctld is slow, and loses its jobs when that fails; so
# squeue answers. Its other questions (a default account) get no answer, as from a real sacct without a database.
SACCT = """\
#!/bin/sh
case "$*" in *--name*) SLURM_CONF={conf} exec {squeue} --states=all --noheader --format='%i|%T' ;; *) exit 1 ;; esac
"""


def install() -> None:
    """Install Slurm and munge where they are missing; SystemExit with a sentence where that is not possible."""
    if all(shutil.which(name, path=WITH_SBIN) for name in PROGRAMS):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(
            f"Slurm and munge are not installed, and only root can install them with apt-get: {' '.join(PACKAGES)}."
        )
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=120"]
    subprocess.run(["apt-get", *wait, "-qq", "update"], check=True)
    command = ["apt-get", *wait, "-qq", "-y", "--no-install-recommends", "install", *PACKAGES]
    subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=True)


class Cluster:
    """munged, slurmctld and slurmd as children of this process; stopped, with all jobs, when the block ends."""

    def __init__(self, folder: Path, gpus: int = 4):
        self.folder, self.gpus, self.daemons = folder, gpus, {}
        self.conf = folder / "slurm.conf"
        self.environment = os.environ | {"SLURM_CONF": str(self.conf), "PATH": f"{folder}/bin:{WITH_SBIN}"}

    def __enter__(self):
        try:
            self._write()
            self._munge()
            self._daemon("slurmctld", "-D", "-i", "-f", self.conf)
            self._wait_for("slurmctld", "UP", "scontrol", "ping")
            self._daemon("slurmd", "-D", "-f", self.conf)
            self._wait_for("slurmd", "idle", "sinfo", "--noheader", "--format=%t")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def ask(self, *command) -> str:
        """Standard output of a Slurm command."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip()

    def stop(self) -> None:
        """Cancel all jobs and end all daemons; nothing of this cluster runs afterwards."""
        if "slurmctld" in self.daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.ask("scancel", f"--user={self._user()}")
                until = time.monotonic() + STOP_SECONDS
                while self.ask("squeue", "--noheader") and time.monotonic() < until:
                    time.sleep(0.2)
        self._end(self.daemons.pop("slurmd", None))
        for pid in self._left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("slurmctld", "munged"):
            self._end(self.daemons.pop(name, None))

    def _write(self) -> None:
        for name in ("bin", "munge", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        for number in range(self.gpus):
            (self.folder / f"gpu{number}").symlink_to(os.devnull)
        host = socket.gethostname().split(".")[0]
        address = socket.gethostbyname(host)
        text = {"folder": self.folder, "host": host, "address": address, "user": self._user(), "ports": _free_ports(2)}
        self.conf.write_text(CONF.format(gpus=self.gpus, **text))
        (self.folder / "gres.conf").write_text(GRES.format(last=self.gpus - 1, **text))
        for name, script in (("srun", SRUN), ("sacct", SACCT)):
            found = {tool: shutil.which(tool, path=WITH_SBIN) for tool in ("srun", "squeue")}
            (self.folder / "bin" / name).write_text(script.format(conf=self.conf, **found))
            (self.folder / "bin" / name).chmod(0o755)

    def _munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        files = {"key": key, "pid": folder / "pid", "log": folder / "log", "seed": folder / "seed"}
        self._daemon(
            "munged",
            "--foreground",
            "--force",  # a folder above is closed to other users, who have no business here
            f"--socket={folder / 'socket'}",
            *(f"--{kind}-file={path}" for kind, path in files.items()),
        )
        self._wait_for("munged", "MUNGE", "munge", "--no-input", f"--socket={folder / 'socket'}")

    def _daemon(self, name: str, *arguments) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            command = [shutil.which(name, path=WITH_SBIN), *map(str, arguments)]
            # a session of its own, so that Ctrl-C reaches the tests alone, which then stop the daemons in order
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _wait_for(self, daemon: str, word: str, *command) -> None:
        until = time.monotonic() + START_SECONDS
        while word not in self.ask(*command):
            if self.daemons[daemon].poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{daemon} did not start:\n{(self.folder / f'{daemon}.log').read_text()[-3000:]}")
            time.sleep(0.1)

    def _left_over(self) -> list[int]:
        """The step daemons of this cluster, which outlive slurmd."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = f"SLURM_CONF={self.conf}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if ours and (entry / "comm").read_text().startswith("slurmstepd"):
                    found.append(int(entry.name))
        return found

    @staticmethod
    def _end(daemon: subprocess.Popen | None) -> None:
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    @staticmethod
    def _user() -> str:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

"""The virtual cluster with an address, a host name and a network of its own for each node: links can be cut.

Needs root, iproute2 and the right to make network namespaces.
"""

from __future__ import annotations

import socket
import subprocess

from virtual_slurm import NODE, VirtualSlurm

HEAD = "head"
SUBNET = "10.77.0"


class NetworkedSlurm(VirtualSlurm):
    """Commands and the controller are at home on the head; nothing reaches the machine's own network."""

    def address(self, host: str) -> str:
        """The address of the head or a node."""
        return f"{SUBNET}.{1 if host == HEAD else 11 + self.nodes.index(host)}"

    def inside(self, host: str, *command: str) -> list[str]:
        """A command as it runs on a host: in its network, under its name, knowing all others by name."""
        setup = f'mount --bind {self.folder / "hosts"} /etc/hosts && hostname {host} && exec "$@"'
        own = ["ip", "netns", "exec", self._space(host), "unshare", "-u", "-m"]
        return [*own, "sh", "-c", setup, host, *command]

    def run(self, *command: str, timeout_s: float = 60.0, check: bool = True) -> str:
        """See `VirtualSlurm`: on the head."""
        return super().run(*self.inside(HEAD, *command), timeout_s=timeout_s, check=check)

    def set_link(self, node: str, state: str) -> None:
        """`down`: the node loses its link, and what runs on it goes on. `up`: it has it again."""
        self._ip("-n", self._space(HEAD), "link", "set", f"v-{node}", state)

    def down(self) -> None:
        """See `VirtualSlurm`."""
        super().down()
        self._tear_network()

    def _space(self, host: str) -> str:
        return f"vs{self.folder.stat().st_ino % 100_000}-{host}"

    def _lay_out(self) -> None:
        self._tear_network()
        self._build_network()
        super()._lay_out()
        own = socket.gethostname().split(".")[0]
        path = self.folder / "slurm.conf"
        text = path.read_text().replace(
            f"SlurmctldHost={own}(127.0.0.1)", f"SlurmctldHost={HEAD}({self.address(HEAD)})"
        )
        for node in self.nodes:
            text = text.replace(
                f"NodeName={node} NodeHostname={own} NodeAddr=127.0.0.1",
                f"NodeName={node} NodeHostname={node} NodeAddr={self.address(node)}",
            )
        path.write_text(text)
        lines = ("127.0.0.1 localhost", *(f"{self.address(host)} {host}" for host in (HEAD, *self.nodes)))
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")

    def _build_network(self) -> None:
        head = self._space(HEAD)
        for host in (HEAD, *self.nodes):
            self._ip("netns", "add", self._space(host))
            self._ip("-n", self._space(host), "link", "set", "lo", "up")
        self._ip("-n", head, "link", "add", "br0", "type", "bridge")
        self._ip("-n", head, "addr", "add", f"{self.address(HEAD)}/24", "dev", "br0")
        self._ip("-n", head, "link", "set", "br0", "up")
        for node in self.nodes:
            space = self._space(node)
            self._ip("-n", head, "link", "add", f"v-{node}", "type", "veth", "peer", "eth0", "netns", space)
            self._ip("-n", head, "link", "set", f"v-{node}", "master", "br0", "up")
            self._ip("-n", space, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            self._ip("-n", space, "link", "set", "eth0", "up")

    def _tear_network(self) -> None:
        for host in (HEAD, *self.nodes):
            subprocess.run(["ip", "netns", "del", self._space(host)], capture_output=True, check=False)

    def _daemon(self, name: str, *command: str, env: dict[str, str] | None = None) -> None:
        host = env[NODE] if env and NODE in env else HEAD
        super()._daemon(name, *self.inside(host, *command), env=env)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

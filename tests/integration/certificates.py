"""An authority and certificates of our own."""

import subprocess
from pathlib import Path


class Certificates:
    """An authority of our own, a server's certificate and a client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority("ca")
        self.signed("server", "ca")
        self.signed("client", "ca")

    def authority(self, name: str) -> None:
        """Make an authority."""
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"),
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def signed(self, name: str, authority: str) -> None:
        """Make a certificate for this machine that an authority signed."""
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"),
        )  # fmt: skip
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        self._openssl(
            "x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{authority}.pem"),
            "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial", "-days", "2", "-extfile", str(extensions),
            "-out", self.path(f"{name}.pem"),
        )  # fmt: skip

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)

    @staticmethod
    def _openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

"""A self-signed certificate for loopback addresses, and a client context that trusts it."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Certificate:
    certificate: Path
    key: Path

    @property
    def section(self):
        """As the configuration has it."""
        return {"certificate": str(self.certificate), "key": str(self.key)}

    @property
    def context(self):
        return ssl.create_default_context(cafile=str(self.certificate))


def make_certificate(directory):
    directory = Path(directory)
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=rookery test", "-addext",
         "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost", "-keyout", made.key, "-out",
         made.certificate], check=True, capture_output=True)
    return made

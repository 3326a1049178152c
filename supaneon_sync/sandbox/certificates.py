"""The sandbox's own certificate authority, and one certificate for all of its servers."""

from __future__ import annotations

from pathlib import Path

import trustme

from supaneon_sync.sandbox.server import TLS
from supaneon_sync.sandbox.state import DOMAIN


def certificates(directory: Path) -> tuple[Path, TLS]:
    """Return the CA's file and the servers' certificate in a directory; both are made where absent.

    The certificate is for every endpoint's host, ``localhost`` and ``127.0.0.1`` (the primary).
    """
    ca_file = directory / "ca.pem"
    tls = TLS(directory / "server.pem", directory / "server.key")
    if ca_file.exists():
        return ca_file, tls
    authority = trustme.CA(organization_name="supaneon-sync sandbox")
    issued = authority.issue_cert(f"*.{DOMAIN}", "localhost", "127.0.0.1")
    tls.key.touch(mode=0o600)
    tls.key.write_bytes(issued.private_key_pem.bytes())
    for blob in issued.cert_chain_pems:
        blob.write_to_path(tls.certificate, append=True)
    authority.cert_pem.write_to_path(ca_file)
    return ca_file, tls

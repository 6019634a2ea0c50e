import ssl
from pathlib import Path

import pytest

from ziggie_image_mcp.provider.trust import trusted


def test_certificates_are_read_once_and_again_where_the_user_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    usual = trusted()
    assert trusted() is usual
    assert usual.verify_mode is ssl.CERT_REQUIRED
    assert usual.check_hostname

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    for _ in range(2):  # a mistake is not kept
        with pytest.raises(FileNotFoundError):
            trusted()
    assert trusted(environment=False).verify_mode is ssl.CERT_REQUIRED

"""Certificates that no tool would make: with several common names, with none, with a NUL or 64 KiB in
one, of another time; and lists of those that were revoked. Signed by a CA that `mokvctl cert init` made.

DER by hand, since tools refuse such names; openssl makes the keys and signs.
"""

import base64
import itertools
import pathlib
import subprocess
import time

_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier.
_COMMON_NAME = bytes.fromhex("0603550403")
_BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")
_SEQUENCE, _SET, _INTEGER, _BIT_STRING, _OCTET_STRING = 0x30, 0x31, 0x02, 0x03, 0x04
_UTF8_STRING, _UTC_TIME = 0x0C, 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # Of a TBSCertificate.

_serials = itertools.count(1_000_000)


def _der(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def _split(der):
    """The body of the first value in `der`, and its whole size."""
    size, begin = der[1], 2
    if size & 0x80:
        begin = 2 + (size & 0x7F)
        size = int.from_bytes(der[2:begin], "big")
    return der[begin:begin + size], begin + size


def _values(body):
    """Each value of a SEQUENCE's body, whole."""
    values = []
    while body:
        _, size = _split(body)
        values.append(body[:size])
        body = body[size:]
    return values


def _integer(value):
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _time(seconds_from_now):
    text = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + seconds_from_now))
    return _der(_UTC_TIME, text.encode())


def _name(common_names):
    return _der(_SEQUENCE, *(
        _der(_SET, _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8_STRING, name))) for name in common_names))


def _openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def _pem(label, der):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def _fields(certificate_file):
    """Of its TBSCertificate, without the version: serial, algorithm, issuer, validity, subject, ..."""
    der = _openssl("x509", "-in", certificate_file, "-outform", "DER")
    fields = _values(_split(_values(_split(der)[0])[0])[0])
    assert fields[0][0] == _VERSION
    return fields[1:]


def _sign(tbs, certs):
    signature = _openssl("dgst", "-sha256", "-sign", certs.path("ca-key.pem"), data=tbs)
    return _der(_SEQUENCE, tbs, _ECDSA_WITH_SHA256, _der(_BIT_STRING, b"\0", signature))


def issue(certs, name, common_names, begins=-3600, ends=3600):
    """NAME.pem and NAME-key.pem beside the CA in `certs`. Times are seconds from now."""
    key = certs.path(f"{name}-key.pem")
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    no_ca = _der(_SEQUENCE, _BASIC_CONSTRAINTS, _der(_OCTET_STRING, _der(_SEQUENCE)))
    tbs = _der(
        _SEQUENCE,
        _der(_VERSION, _integer(2)),
        _integer(next(_serials)),
        _ECDSA_WITH_SHA256,
        _fields(certs.path("ca.pem"))[4],
        _der(_SEQUENCE, _time(begins), _time(ends)),
        _name([name.encode() if isinstance(name, str) else name for name in common_names]),
        _openssl("pkey", "-in", key, "-pubout", "-outform", "DER"),
        _der(_EXTENSIONS, _der(_SEQUENCE, no_ca)),
    )
    pathlib.Path(certs.path(f"{name}.pem")).write_text(_pem("CERTIFICATE", _sign(tbs, certs)))


def revocation_list(certs, names, begins=-3600, ends=3600):
    """A PEM text: the CA does not answer for NAME.pem of these names any more."""
    since = _time(begins)
    revoked = [_der(_SEQUENCE, _fields(certs.path(f"{name}.pem"))[0], since) for name in names]
    tbs = _der(
        _SEQUENCE,
        _integer(1),
        _ECDSA_WITH_SHA256,
        _fields(certs.path("ca.pem"))[4],
        since,
        _time(ends),
        *([_der(_SEQUENCE, *revoked)] if revoked else []),
    )
    return _pem("X509 CRL", _sign(tbs, certs))

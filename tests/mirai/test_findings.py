"""What is shown of a raw corpus's problems."""

from mirai.readers.findings import Findings


def test_a_report_has_no_control_characters():
    findings = Findings()
    findings.left_out["wav missing"] += ["a\x1b[2J.wav", "b\nerror: none"]
    assert findings.report() == "left out (2):\n  2 x wav missing: a\\x1b[2J.wav; b\\nerror: none"

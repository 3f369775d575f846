"""JSON that JSON.parse takes and programs stumble over."""

from __future__ import annotations

ODD = {
    "infinity": "1e999",
    "minus infinity": "-1e999",
    "infinity inside": '[{"a":1e999}]',
    "400 digits": "1" * 400,
    "minus 400 digits": "-" + "9" * 400,
    "400 digits inside": '{"cmd":' + "1" * 400 + "}",
    "5000 digits": "1" * 5000,
    "above 64 bits": "18446744073709551616",
    "nothing": "1e-999",
    "surrogate": '"\\ud800"',
    "surrogate key": '{"\\udc00":1}',
    "controls": '"\\u0000\\n\\u001b[31m"',
    "prototype": '{"__proto__":1}',
    "text that is no JSON": '"{\\"cmd\\":"',
    "text with infinity": '"1e999"',
    "text with 5000 digits": '"' + "1" * 5000 + '"',
    "text with nesting": '"' + "[" * 3000 + '"',
    "nesting": "[" * 250 + "]" * 250,
    "too deep": "[" * 300 + "]" * 300,
    "much too deep": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "null": "null",
    "true": "true",
}

#!/usr/bin/env python3
"""Makes the seeds of the corpus files, from the conformance cases and from what tests hold anyway.

What libFuzzer has found stays below them. Run it again when cases have come.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "Tests" / "Conformance"), str(HERE)]

import fuzz  # noqa: E402
import messages  # noqa: E402

# Bytes of the seeds of one target, so that there is room for what is found.
SEED_LIMIT = 9_000
HEAD = "# Seeds, made by seeds.py."


def recorded():
    """What the rows of the table send."""
    import catalog

    sent = []

    def wire(id, title, data, expected, method=b"GET"):
        sent.append(b"".join(s for s in messages.steps(data) if isinstance(s, bytes)))

    def sweep(id, title, variants):
        for _, data, _ in list(variants)[:4]:
            sent.append(b"".join(s for s in messages.steps(data) if isinstance(s, bytes)))

    catalog.wire, catalog.sweep = wire, sweep
    for path in sorted((ROOT / "Tests" / "Conformance").glob("cases_[a-i]_*.py")):
        __import__(path.stem)
    return [data.replace(messages.CANARY_LINE, b"") for data in sent]


def pick(inputs, limit=SEED_LIMIT, longest=400):
    """Short ones first, each once, spread over all of them when there are too many."""
    unique = sorted({i for i in inputs if 0 < len(i) <= longest}, key=lambda i: (len(i), i))
    step = 1
    while sum(len(fuzz.spell(i)) + 1 for i in unique[::step]) > limit:
        step += 1
    return unique[::step]


def put(target, inputs):
    kept, all_inputs = fuzz.committed(target)
    path = fuzz.corpus_file(target)
    lines = path.read_text().splitlines() if path.exists() else []
    found = lines[lines.index(fuzz.FOUND):] if fuzz.FOUND in lines else []
    regressions = []
    if fuzz.REGRESSIONS in kept:
        regressions = kept[kept.index(fuzz.REGRESSIONS):]
    lines = [HEAD] + [fuzz.spell(i) for i in inputs] + regressions + found
    path.write_text("".join(line + "\n" for line in lines))
    print(f"{target}: {len(inputs)} seeds")


def main():
    sent = recorded()
    heads = [data.split(b"\r\n\r\n")[0] + b"\r\n\r\n" for data in sent if b"\r\n\r\n" in data]
    bodies = [
        data.split(b"\r\n\r\n", 1)[1] for data in sent
        if b"chunked" in data and b"\r\n\r\n" in data]
    put("request", pick(heads + [data for data in sent if b"\r\n\r\n" not in data]) + [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: "
        b"application/json\r\nAccept: */*\r\nUser-Agent: wrk\r\nContent-Length: 250\r\n\r\n",
        b"GET http://b:81/x?y=1 HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX: \t1\t2 \r\n\r\n",
        b"OPTIONS http://[::1]?q HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nAccept:\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: "
        b"100-continue\r\nTE: trailers\r\nX-Request-Id: abc\r\nIdempotency-Key: k\r\n\r\n",
        b"GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
        b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        b"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=b\r\n"
        b"X-Forwarded-For: 5.6.7.8\r\nX-Real-IP: 6.6.6.6\r\nProxy: z\r\n\r\n",
    ])
    put("response", [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 503\r\nRetry-After: 5\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
        b"Content-Length: 3\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"\r\n\r\n",
        b"HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: x, close\r\nx: 1\r\ntransfer-encoding:CHUNKED \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.0 200 \xff\t\r\nContent-Type:text/event-stream;a=b\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 429 Too Many\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"
        b"Content-Length: 0\r\nX-Request-Id: 1\r\nProxy-Authenticate: x\r\n\r\n",
    ])
    put("chunks", pick(bodies))
    put("body", [
        bytes([kind, length]) + data
        for kind, length, data in [
            (0, 5, b"hello"), (0, 5, b"hello and more"), (0, 5, b"hel"), (0, 0, b"x"), (1, 0, b""),
            (1, 0, b"until the end"), (3, 0, b"x"), (2, 0, b"5\r\nhello\r\n0\r\n\r\nmore"),
            (2, 5, b"05;a=\"b\"\r\nhello\r\n0\r\nA: b\r\nHost: c\r\n\r\n"), (2, 3, b"3\r\nabc\r\n"),
            (0, 200, b"x" * 200)]
    ])
    put("proxy-protocol", [
        b"PROXY TCP4 9.8.7.6 1.2.3.4 111 222\r\nGET", b"PROXY TCP6 ::1 fd00::2 65535 0\r\n",
        b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f...f 1\r\n", b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 1\r\n",
        b"PROXY TCP4 9.8.7.600 1.2.3.4 111 222\r\n", b"PROXY TCP4 9.8.7.6 1.2.3.4 0111 222\r\n",
        b"PROXY TCP4 9.8.7.6 1.2.3.4 65536 2\r\n", b"PROXY TCP5 9.8.7.6 1.2.3.4 1 2\r\n",
        *[b"\r\n\r\n\0\r\nQUIT\n" + rest for rest in [
            b"\x20\0\0\0", b"\x21\x11\0\x0c\x09\x08\x07\x06\x01\x02\x03\x04\0\x6f\0\xde",
            b"\x21\x21\0\x24" + bytes(range(32)) + b"\0\x50\x01\xbb",
            b"\x21\x11\0\x13\x09\x08\x07\x06\x01\x02\x03\x04\0\x6f\0\xde\x04\0\x01\x01\x04\0\0",
            b"\x21\x31\0\xd8" + bytes(216), b"\x20\x12\0\0", b"\x21\x00\0\x03\x04\0\0"]],
    ])
    golden = sorted((ROOT / "Tests" / "Door" / "ConfigurationTests" / "Golden").glob("*.yaml"))
    files = [path.read_bytes() for path in golden]
    minimal = (ROOT / "Config" / "minimal.yaml").read_bytes()
    put("yaml", pick(files + [
        b"a: &x {b: [1, *x]}\n", b"a: &x [1, 2]\nb: {<<: {c: d}, e: *x}\n", b"? [a]\n: b\n",
        b"a: |\n  b\n   c\nd: >-\n  e\n  f\n", b"%YAML 1.1\n---\na: !!str b\n...\n",
        b"\xef\xbb\xbfa: \"\\u00e9\\x41\\n\"\nb: 'it''s'\n", b"a: ~\nb:\nc: null\nd: ''\n",
        b"--- a\n--- b\n", b"a: {b: c, 'd': \"e\", [f]: g}\n", b"a:\tb\n", b"[a, b]: c\n"]))
    put("configuration", [minimal] + pick(files, limit=8_000, longest=700))
    put("json", [
        b'{"model":"m","messages":[{"role":"user","content":"h\\u00e9\\n"}],"n":1,"stream":true}',
        b'[1,-0,0.5,1e3,-2E-7,12345678901234567890]', b'"\\ud83d\\ude00"', b'"\\ud83d"',
        b'{"a":1,"a":2}', b'"\xff"', b"[" * 101, b" null ", b"[tru", b'{"a" : {"b":[{}, [] ]}}',
        b'"\\q"', b"01", b"1.", b"1e999", b'"\x01"', b"{}x", b'"\\u0000\\\\\\/\\b\\f\\r\\t"'])
    # Numbers of frames and fields as HTTP2Script knows them; a good request is 14 or 15.
    scripts = [
        b"\x00\x1e", b"\x00\x0e\x02\x04\x05", b"\x00\x0f\x05\x1f\x07\x06\x0d",
        b"\x00\x10\x00\x05\x00\x01\x02\x03\x21", b"\x00\x00\x00\x05\x04\x01\x02\x03\x19\x12\x04\x05",
        b"\x00\x01\x00\x04\x00\x01\x02\x03\x03", b"\x00\x0e\x0c\x04\x2e", b"\x00\x0e\x03\x04\x08",
        b"\x00\x0e\x04\x04\x00\x14\x04\x05\x01\x03\x03", b"\x00\x05\x02\x04\x00\x01\x04\x0e\x08\x04\x01\x10",
        b"\x00\x0e\x22\x04\x0a\x03\x12\x04\x00", b"\x00\x07\x01\x00\x1e", b"\x00\x0e\x0a\x05hello\x0b\x0a\x01\x02\x02ab",
        b"\x00\x10\x00\x04\x00\x0a\x02\x03", b"\x00\x10\x00\x06\x00\x01\x02\x03\x22\x23", b"\x00\x1e\x1e\x1e\x1e\x1e\x1e\x1e\x1e\x1e",
        b"\x00" + b"\x0e\x03\x04\x08" * 15, b"\x00\x0e" + b"\x02\x04\x00" * 25, b"\x07PRI", b"\x06\x1e"]
    answers = [
        b"\x00\x1e\x1f\x05", b"\x00\x00\x04\x01\x06\x10\x04\x01\x05", b"\x00\x00\x04\x02\x05\x19\x12\x04\x05",
        b"\x00\x0e\x02\x04\x05\x0c\x04\x2e", b"\x00\x10\x04\x01\x07", b"\x00\x07\x01\x00", b"\x00\x03\x04\x07\x07\x03\x00",
        b"\x00\x10\x04\x02\x05\x1d", b"\x00\x10\x04\x01\x15", b"\x00\x05\x01\x03\x00\x0e"]
    put("http2-server", [kind + s for kind in [b"\x00", b"\x01"] for s in scripts])
    put("http2-client", [kind + s for kind in [b"\x06", b"\x0b"] for s in answers])
    put("grpc", [
        b"\0\0\0\0\0", b"\0\0\0\0\5hello", b"\0\0\0\0\1a\0\0\0\0\2bc", b"\1\0\0\0\1a",
        b"\2\0\0\0\0", b"\0\xff\xff\xff\xff", b"\0\0\0\3\xe8" + b"x" * 30, b"\0\0\0\0\3ab"])
    put("protobuf", [
        b"\x0a\x01m\x12\x011\x1a\x02id", b"\x0a\x00\x22\x0b\x0a\x03key\x12\x04\x1a\x02va",
        b"\x2a\x14\x0a\x04text\x12\x05BYTES\x1a\x01\x01\x2a\x05\x42\x03abc", b"\x32\x03\x0a\x01o\x3a\x02xy",
        b"\x08\x01", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b\x0c", b"\x0b" * 120,
        b"\x0a\x02\xff\xfe", b"\x80", b"\x0d\1\2\3\4\x11\1\2\3\4\5\6\7\x08", b"99999999H", b"1S", b"0n",
        b"100000000S", b"%E2%82%AC%", b"%41%zz"])
    put("handshake", [
        b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\0\x05\x01\0\0\x01x", b"\x16\x03\x01\0\2\x01\0\x16\x03\x01\0\3\0\x01x",
        b"\x16\x03\x01\0\4\x01\x01\0\0", b"\x15\x03\x01\0\2\2\x28", b"\x80\x2e\x01\x03\x01", b"PRI * HTTP/2.0",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ ", b"\x16\x03\x01\0\0\x16\x03\x01\0\4\x01\0\0\0\x14\x03\x03\0\1\1"])

    put("request-scan", [
        b'{"messages":[{"role":"user","content":"a\\n"},{"content":[{"type":"image_url",'
        b'"image_url":{"url":"data:image/png;base64,AA"}}]}],"stream":true,"n":2,"model":"a/b"}',
        b'{"prompt":[[1,2],["x"]],"max_tokens":16,"max_completion_tokens":32,"best_of":3}',
        b'{"metadata":{"model":"x","n":1},"mod\\u0065l":"\\u00e9\\ud83d\\ude00"}',
        b'{"model":"a","model":"b"}', b'{"Model":"a"}', b'{"\xc5\xbftream":true}',
        b'{"model\\u0000":"a"}', b'{"model\\ud800":"a"}', b'{"model":"a\\n"}', b'{"model":null}',
        b'{"model":["a"]}', b'{"max_tokens":"16","stream":1,"n":-1}', b'{"max_output_tokens":1e3}',
        b'\xef\xbb\xbf{}', b'{\0"\0m', b"[1]", b" {} ", b'{"a":1}x', b'{"a":[1}', b'{"n":00}',
        b'{"input":"data:","instructions":"x","system":"\\"","a":{"b":[{}]}}',
        b'{"model":"' + b"m" * 257 + b'"}', b'{"a":' + b"[" * 100, b'{"n":99999999999999999999}',
    ])
    openai = b'data: {"choices":[{"delta":{"content":"\\"usage\\":{"}}],"usage":null}\n\n'
    usage = b'{"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}}'
    put("usage-scan", [
        usage, b'{"choices":[],"usage" : {"prompt_tokens": 1, "details":{"total_tokens":9}}}',
        b'{"usage":{"input_tokens":3,"output_tokens":4},"a":[{"usage":{"prompt_tokens":8}}]}',
        b'{"a":{"usage":{"prompt_tokens":1}},"usage":{"total_tokens":3}}', b'{"usage":null}',
        b'[{"usage":{"prompt_tokens":1}}]', b'{"a\\"usage":{"prompt_tokens":1}}',
        b'{"usage":{"prompt_tokens":1.5,"total_tokens":-3,"completion_tokens":99999999999999}}',
        openai + b"data: " + usage + b"\n\ndata: [DONE]\n\n",
        b"event: x\r\ndata:" + usage + b"\r\rdata: {\n\n:\n\n",
        b'data: {"message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\ndata: '
        b'{"usage":{"output_tokens":15}}\n\n',
    ])
    claims = (
        b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        b"cnVlfQ")
    es256 = b"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    put("token", [
        b"eyJhbGciOiJFUzI1NiJ9." + claims + b"." + es256,
        b"eyJhbGciOiJFUzI1NiJ9." + claims + b"." + es256 + b"==",
        b"eyJhbGciOiJSUzI1NiJ9." + claims + b"." + es256,
        b"eyJhbGciOiJub25lIn0." + claims + b".", b"eyJhbGciOiJIUzI1NiJ9." + claims + b"." + es256,
        b"eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIn0.e30." + b"A" * 86, b"..", b"a.b.c.d.e", b"e30.e30.e31",
        b"eyJhbGciOiJSUzI1NiJ9." + claims + b"."
        b"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
        b"p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
        b"MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeY"
        b"I2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ])
    put("claims", [
        b'{"alg":"EdDSA"}\n{"iss":"joe","exp":1300819380,"nbf":1300819380.5,"iat":1e9}',
        b'{"alg":"Ed25519","kid":"ed","typ":"at+jwt"}\n{"iss":"joe","exp":2e9,"aud":["a","b"]}',
        b'{"alg":"EdDSA","kid":"x"}\n{}', b'{"alg":"EdDSA","crit":["exp"]}\n{"iss":"joe"}',
        b'{"alg":"EdDSA"}\n{"iss":"joe","exp":"2000000000"}', b'{"alg":"none"}\n{"iss":"joe"}',
        b'{"alg":"EdDSA","alg":"EdDSA"}\n{}', b'{"alg":"EdDSA"}\n{"iss":"joe","iss":"x"}',
        b'{"alg":"EdDSA","jwk":{}}\n[]', b'{"alg":"EdDSA","cty":"JWT"}\n\xff', b"x\ny", b"\n",
    ])
    x = b"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    put("jwks", [
        b'{"keys":[{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig","x":"' + x
        + b'","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"OKP","crv":"Ed25519",'
        b'"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":["verify"]}]}',
        b'{"keys":[{"kty":"EC","crv":"P-256","x":"' + x + b'","y":"' + x + b'"}]}',
        b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a\\u000ab"},{"kty":"oct","k":"AA"}]}',
        b'{"keys":[{"kty":"RSA","n":"' + b"_" * 342 + b'","e":"AQAB"}]}', b'{"keys":[]}', b"[]",
        b'{"keys":[{"kty":"OKP","crv":"X25519"},{"kty":"EC","d":"AA"},5,{"kty":"\\u0085"}]}',
    ])
    goldens = ROOT / "Tests" / "Shard" / "TextTests" / "Goldens"
    put("tokenizer", [
        b'{"model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b","ab c"'
        b']},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}',
        b'{"added_tokens":[{"id":2,"content":"<a>","single_word":true,"lstrip":true,"rstrip":true,'
        b'"normalized":false,"special":true}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":'
        b'"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel'
        b'","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},"post_processor":null,'
        b'"model":{"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1},"merges":[["a","b"]]}}',
        b'{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,'
        b'"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},'
        b'"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece",'
        b'"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,'
        b'"vocab":{"[UNK]":0,"a":1,"##b":2}}}',
        b'{"model":{"vocab":{"a":4294967296},"merges":[]}}', b"{}", b'{"model":null}',
    ])
    texts = json.loads((goldens / "corpus.json").read_bytes())
    put("text", pick([text.encode() for text in texts], limit=5_000, longest=120) + [
        b"\xff\xfe\xc3\xa9\xed\xa0\x80\xf4\x90\x80\x80", b"<|im_start|>user<|im_end|>", b"[CLS] a [SEP]",
        b"<|begin_of_text|><left> <right> <both>", b"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8 a\xcc\x81\xcc\xa3"])


if __name__ == "__main__":
    main()

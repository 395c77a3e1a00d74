import Configuration
import Guard
import Primitives
import ProxyCore
import Testing

private let secret = "sk-a-secret-of-team-a"

/// A story with one key, 'team-a', whose secret is `secret`; the route asks for it.
private func guarded(
  backends: Int = 1, _ key: (inout APIKeySettings) -> Void = { _ in },
  _ change: (inout Settings) -> Void = { _ in }
) -> Story {
  Story(backends: backends) { settings in
    var team = APIKeySettings()
    team.name = "team-a"
    team.sha256 = Array(secret.utf8).withUnsafeBytes { Digest(of: $0).hexadecimal }
    key(&team)
    settings.apiKeys = [team]
    settings.routes[0].access.authenticate = .apiKey
    change(&settings)
  }
}

private func asking(
  _ body: String? = nil, key: String? = secret, method: String = "POST", path: String = "/x",
  fields: String = ""
) -> String {
  let credentials = key.map { "Authorization: Bearer \($0)\r\n" } ?? ""
  let length = body.map { "Content-Length: \($0.utf8.count)\r\n" } ?? ""
  return
    "\(method) \(path) HTTP/1.1\r\nHost: a\r\n\(credentials)\(fields)\(length)\r\n\(body ?? "")"
}

extension Story {
  /// One request, sent whole on a fresh connection to a fresh backend connection.
  fileprivate func send(_ text: String) -> [String] {
    _ = accept()
    return receive("c\(clientCount)", text)
  }
}

/// What the guards let in. What could break: a request without a key that comes upstream, a key that
/// does, or a refusal that has used something up.
@Suite struct CredentialTests {
  @Test func aKeyLetsInAndStaysHere() {
    let story = guarded()
    #expect(story.send(asking("hi")) == ["connect u1 b0"])
    let sent = story.connected("u1")
    #expect(sent[0].hasSuffix("hi"))
    #expect(!sent[0].contains("Authorization"))
    #expect(!sent[0].contains(secret))
  }

  @Test(arguments: ["X-Api-Key", "api-key", "X-API-KEY"]) func otherFieldsCarryItToo(
    field: String
  ) {
    let story = guarded()
    let effects = story.send(asking("hi", key: nil, fields: "\(field): \(secret)\r\n"))
    #expect(effects == ["connect u1 b0"])
    #expect(!story.connected("u1")[0].contains(secret))
  }

  @Test func withoutOneTheAnswerSaysHow() {
    let story = guarded()
    let effects = story.send(asking("hi", key: nil))
    #expect(
      effects == [
        """
        write c1 HTTP/1.1 401 Unauthorized\r
        Content-Type: application/json\r
        Content-Length: 153\r
        WWW-Authenticate: Bearer\r
        \r
        {"error":{"message":"This route asks for an API key; send it as Authorization: Bearer \
        KEY.","type":"authentication_error","code":"credentials_missing"}}

        """
      ])
    // The body was skipped, so the connection serves on.
    #expect(story.receive("c1", asking("hi")) == ["connect u1 b0"])
  }

  @Test func aWrongOneIsSaidToBeWrong() {
    let story = guarded()
    let effects = story.send(asking("hi", key: "sk-other"))
    #expect(effects.count == 1)
    #expect(effects[0].contains("WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"))
    #expect(effects[0].contains("\"code\":\"credentials_invalid\""))
    #expect(!effects[0].contains("sk-other"))
  }

  @Test func twoFieldsAreOneTooMany() {
    let story = guarded()
    let effects = story.send(asking("hi", fields: "Authorization: Bearer other\r\n"))
    #expect(effects[0].contains("There is more than one field with credentials; send exactly one."))
  }

  @Test func aLongBodyBehindARefusalEndsTheConnection() {
    let story = guarded()
    _ = story.accept()
    let effects = story.receive(
      "c1", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf")
    #expect(effects[0].contains("Connection: close\r\n"))
    #expect(effects[1] == "finish c1")
  }

  @Test func theEnginesOwnKeyTakesItsPlace() {
    let story = guarded { _ in
    } _: {
      $0.pools[0].apiKey = "engine-key"
    }
    _ = story.send(asking("hi", fields: "X-Api-Key: \(secret)\r\n"))
    let sent = story.connected("u1")[0]
    #expect(sent.contains("Authorization: Bearer engine-key\r\n"))
    #expect(!sent.contains(secret))
  }

  @Test func credentialsMayBeKept() {
    let story = guarded { _ in
    } _: {
      $0.pools[0].credentials = .keep
    }
    _ = story.send(asking("hi"))
    #expect(story.connected("u1")[0].contains("Authorization: Bearer \(secret)\r\n"))
  }

  /// Nobody asked for it here: it is between the client and the engine.
  @Test func whatIsNotAskedForGoesOn() {
    let story = Story(backends: 1)
    _ = story.send(asking("hi"))
    #expect(story.connected("u1")[0].contains("Authorization: Bearer \(secret)\r\n"))
  }

  @Test func aCallerOfGRPCReadsAStatus() {
    let story = guarded()
    let effects = story.send(
      asking("hi", key: nil, path: "/p.S/M", fields: "Content-Type: application/grpc+proto\r\n"))
    #expect(
      effects == [
        """
        write c1 HTTP/1.1 200 OK\r
        Content-Length: 0\r
        WWW-Authenticate: Bearer\r
        Content-Type: application/grpc\r
        grpc-status: 16\r
        grpc-message: This route asks for an API key; send it as Authorization: Bearer KEY.\r
        \r

        """
      ])
  }
}

/// Rates and slots, as clients see them.
@Suite struct LimitTests {
  @Test func aKeyOverItsRateIsToldWhenToCome() {
    let story = guarded {
      $0.limits.requests = RateSetting(count: 2, period: .seconds(60))
    }
    _ = story.send(asking("hi"))
    _ = story.connected("u1")
    let answered = story.receive("u1", answer("ok", fields: "x-ratelimit-limit-requests: 99\r\n"))
    #expect(
      answered[0] == """
        write c1 HTTP/1.1 200 OK\r
        Content-Length: 2\r
        x-ratelimit-limit-requests: 2\r
        x-ratelimit-remaining-requests: 1\r
        x-ratelimit-reset-requests: 30s\r
        \r
        ok
        """)
    _ = story.receive("c1", asking("hi"))
    _ = story.receive("u1", answer("ok"))
    let refused = story.receive("c1", asking("hi"))
    #expect(refused.count == 1)
    for line in [
      "HTTP/1.1 429 Too Many Requests", "Retry-After: 30", "RateLimit-Limit: 2",
      "RateLimit-Remaining: 0", "RateLimit-Reset: 30", "x-ratelimit-remaining-requests: 0",
    ] {
      #expect(refused[0].contains("\(line)\r\n"), "\(line)")
    }
    #expect(
      refused[0].contains(
        "The API key 'team-a' may make 2 requests per minute (requests); try again in 30 s."))
    #expect(story.wait(.seconds(29)).allSatisfy { !$0.contains("write") })
    _ = story.wait(.seconds(1))
    #expect(story.receive("c1", asking("hi")).contains { $0.contains("u") })
  }

  @Test func aSlotIsHeldUntilTheAnswerHasEnded() {
    let story = guarded { $0.limits.concurrency = 1 }
    _ = story.send(asking("hi"))
    _ = story.connected("u1")
    let second = story.send(asking("hi"))
    #expect(second[0].contains("\"code\":\"key_concurrency\""))
    _ = story.receive("u1", answer("ok"))
    #expect(story.receive("c2", asking("hi")).first?.hasPrefix("write u1 POST") == true)
    // A client that leaves gives it back too.
    #expect(story.ended("c2").first == "reset u1")
    #expect(story.receive("c1", asking("hi")) == ["connect u2 b0"])
  }

  @Test func tokensAreEstimatedAndCorrected() {
    let story = guarded {
      $0.limits.tokens = RateSetting(count: 1_000, period: .seconds(3_600))
    }
    let body = #"{"model":"m","prompt":"12345678","max_tokens":900}"#
    _ = story.send(asking(body))
    _ = story.connected("u1")
    let first = story.receive(
      "u1",
      answer(
        #"{"usage":{"prompt_tokens":2,"completion_tokens":10,"total_tokens":12}}"#,
        fields: "Content-Type: application/json\r\n"))
    #expect(first[0].contains("x-ratelimit-remaining-tokens: 98\r\n"))
    // 12 were used, so that 900 fit once more, and not a third time.
    _ = story.receive("c1", asking(body))
    let refused = story.send(asking(body))
    #expect(refused[0].contains("\"code\":\"key_token_rate\""))
    let large = story.send(asking(#"{"max_tokens":5000}"#))
    #expect(
      large[0].contains(
        """
        The API key 'team-a' may take 1000 tokens per hour (tokens), at most 1000 at once, and this \
        request may take 5004; send a shorter one.
        """))
  }

  @Test func anErrorHasTakenNoTokens() {
    let story = guarded {
      $0.limits.tokens = RateSetting(count: 1_000, period: .seconds(3_600))
    }
    _ = story.send(asking(#"{"max_tokens":900}"#))
    _ = story.connected("u1")
    _ = story.receive("u1", answer("no", status: "400 Bad Request"))
    #expect(
      story.receive("c1", asking(#"{"max_tokens":900}"#)).first?.hasPrefix("write u1") == true)
  }

  /// Without usage, events of a stream are counted.
  @Test func aStreamIsCountedByItsEvents() {
    let story = guarded {
      $0.limits.tokens = RateSetting(count: 1_000, period: .seconds(3_600))
    }
    _ = story.send(asking(#"{"max_tokens":900,"stream":true}"#))
    _ = story.connected("u1")
    let events = (0..<300).map { "data: {\"c\":\($0)}\n\n" }.joined() + "data: [DONE]\n\n"
    let size = String(events.utf8.count, radix: 16)
    _ = story.receive(
      "u1",
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "\(size)\r\n\(events)\r\n0\r\n\r\n")
    let next = story.receive("c1", asking(#"{"max_tokens":650}"#))
    #expect(next.first?.hasPrefix("write u1") == true)
    let over = story.send(asking(#"{"max_tokens":650}"#))
    #expect(over[0].contains("key_token_rate"))
  }

  @Test func aRouteHasALimitOfItsBodies() {
    let story = Story(backends: 1) { $0.routes[0].limits.body = 10 }
    let effects = story.send(request("POST", "12345678901"))
    #expect(effects[0].hasPrefix("write c1 HTTP/1.1 413"))
    _ = story.accept()
    _ = story.receive(
      "c2", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    _ = story.connected("u1")
    let over = story.receive("c2", "6\r\nworld!\r\n0\r\n\r\n")
    #expect(over[0] == "reset u1")
    #expect(over[1].hasPrefix("write c2 HTTP/1.1 413"))
  }
}

/// Models. What could break: a request that comes upstream before its model is known, a body that is
/// lost while it waits, or one with a second model.
@Suite struct ModelTests {
  private func limited(_ change: (inout Settings) -> Void = { _ in }) -> Story {
    guarded({ $0.models = ["llama-*"] }, change)
  }

  @Test func anAllowedModelGoesOnInOneWrite() {
    let story = limited()
    let body = #"{"messages":[],"model":"llama-8b"}"#
    #expect(story.send(asking(body)) == ["connect u1 b0"])
    #expect(story.connected("u1")[0].hasSuffix(body))
  }

  @Test func anotherIsRefusedByName() {
    let story = limited()
    let effects = story.send(asking(#"{"model":"gpt-4"}"#))
    #expect(
      effects == [
        """
        write c1 HTTP/1.1 403 Forbidden\r
        Content-Type: application/json\r
        Content-Length: 156\r
        \r
        {"error":{"message":"The API key 'team-a' may not use the model 'gpt-4'; its models do not \
        name it.","type":"permission_error","code":"model_not_allowed"}}

        """
      ])
    #expect(story.core.openExchanges == 0)
  }

  /// The rest of the body comes later: nothing goes upstream before the model is there.
  @Test func theBodyIsAwaited() {
    let story = limited()
    let body = #"{"messages":[{"content":"hello"}],"model":"llama-8b","n":1}"#
    let text = asking(body)
    let (first, rest) = text.cut(text.utf8.count - 30)
    let (second, third) = rest.cut(5)
    _ = story.accept()
    #expect(story.receive("c1", first).isEmpty)
    #expect(story.core.openExchanges == 1)
    #expect(story.receive("c1", second).isEmpty)
    let effects = story.receive("c1", third)
    #expect(effects == ["connect u1 b0", "pause c1"])
    let sent = story.connected("u1")
    let written = sent.filter { $0.hasPrefix("write u1 ") }.map { $0.dropFirst(9) }.joined()
    #expect(written.hasSuffix("\r\n\r\n" + body))
    #expect(sent.last == "resume c1")
    #expect(story.receive("u1", answer("ok"))[0].hasSuffix("ok"))
    // And the connection serves on.
    #expect(story.receive("c1", asking(body)).first?.hasSuffix(body) == true)
  }

  /// Every place where a body can be cut, with length and with chunks.
  @Test(arguments: [false, true]) func howeverItIsCut(chunked: Bool) {
    let body = #"{"messages":[{"content":"hello"}],"model":"llama-8b","n":1}"#
    let whole =
      chunked
      ? "POST /x HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(secret)\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "a\r\n\(body.prefix(10))\r\n31\r\n\(body.dropFirst(10))\r\n0\r\n\r\n"
      : asking(body)
    let headEnd = whole.range(of: "\r\n\r\n") + 4
    for cut in headEnd..<whole.utf8.count {
      let story = limited()
      _ = story.accept()
      let (first, rest) = whole.cut(cut)
      _ = story.receive("c1", first)
      _ = story.receive("c1", rest)
      let sent = story.connected("u1").filter { $0.hasPrefix("write u1 ") }.map { $0.dropFirst(9) }
        .joined()
      let tail = whole.cut(headEnd).rest
      if !sent.hasSuffix("\r\n\r\n" + tail) { Issue.record("cut at \(cut): \(sent)") }
      _ = story.receive("u1", answer("ok"))
      #expect(story.core.openExchanges == 0)
      _ = story.ended("c1")
      _ = story.wait(.seconds(100))
      #expect(story.core.lentBlocks == 0)
    }
  }

  @Test func aWaitingBodyIsRefusedAsAnyOther() {
    let story = limited()
    let text = asking(#"{"messages":[],"model":"gpt-4"}"#)
    _ = story.accept()
    _ = story.receive("c1", String(text.dropLast(8)))
    let effects = story.receive("c1", String(text.suffix(8)))
    #expect(effects.count == 1)
    #expect(effects[0].hasPrefix("write c1 HTTP/1.1 403"))
    // Whole and read: the connection stays.
    #expect(story.receive("c1", asking(#"{"model":"llama-8b"}"#)) == ["connect u1 b0"])
  }

  @Test func aSecondModelBehindTheFirstEndsTheAttempt() {
    let story = limited()
    let body = #"{"model":"llama-8b","model":"gpt-4"}"#
    let whole = story.send(asking(body))
    #expect(whole[0].contains("model_missing"))
    #expect(whole[0].contains("stands twice"))

    let text = asking(body)
    _ = story.accept()
    #expect(story.receive("c2", String(text.dropLast(17))) == ["connect u1 b0", "pause c2"])
    _ = story.connected("u1")
    let effects = story.receive("c2", String(text.suffix(17)))
    #expect(effects[0] == "reset u1")
    #expect(effects[1].contains("\"code\":\"member_twice\""))
  }

  @Test func aBodyThatNeverNamesItsModelIsLetGo() {
    let story = limited { $0.listeners[0].modelSearch = 2_000 }
    let filler = String(repeating: "x", count: 3_000)
    // What has come already may be looked at.
    let effects = story.send(asking(#"{"messages":"\#(filler)","model":"llama-8b"}"#))
    #expect(effects == ["connect u1 b0"])
    _ = story.accept()
    let text = "POST /x HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(secret)\r\nContent-Length: 9999\r\n\r\n"
    let refused = story.receive("c2", text + #"{"messages":""# + filler)
    #expect(refused[0].contains("HTTP/1.1 400"))
    #expect(
      refused[0].contains(
        """
        No model was found in the first 2000 bytes of the body (model_search); put the model before \
        the messages.
        """))
  }

  @Test func aBodyThatIsNoJSONIsRefused() {
    let story = limited()
    let effects = story.send(asking("hello"))
    #expect(effects[0].contains("The body is not JSON at byte 0; send one JSON object."))
  }

  @Test func aSlowBodyIsA408() {
    let story = limited()
    _ = story.accept()
    _ = story.receive(
      "c1", "POST /x HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(secret)\r\nContent-Length: 99\r\n\r\n{")
    let effects = story.wait(.seconds(11))
    #expect(effects.first?.hasPrefix("write c1 HTTP/1.1 408") == true)
    #expect(story.core.openExchanges == 0)
  }

  @Test func aClientThatWaitsIsToldToGoOn() {
    let story = limited()
    _ = story.accept()
    let body = #"{"model":"llama-8b"}"#
    let text = asking(body, fields: "Expect: 100-continue\r\n")
    let head = String(text.dropLast(body.utf8.count))
    #expect(story.receive("c1", head) == ["write c1 HTTP/1.1 100 Continue\r\n\r\n"])
    #expect(story.receive("c1", body).first == "connect u1 b0")
  }

  @Test func aClientThatLeavesMeanwhileLeavesNothing() {
    let story = limited()
    _ = story.accept()
    _ = story.receive(
      "c1", "POST /x HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(secret)\r\nContent-Length: 99\r\n\r\n{")
    #expect(story.ended("c1") == ["drop c1"])
    #expect(story.core.openExchanges == 0)
    _ = story.wait(.seconds(1))
    #expect(story.core.lentBlocks == 0)
  }

  @Test func aRequestWithoutABodyNeedsNone() {
    let story = limited()
    #expect(story.send(asking(method: "GET", path: "/v1/models")) == ["connect u1 b0"])
  }

  @Test(arguments: [
    ("/v2/models/llama-8b/infer", true), ("/v2/models/gpt/infer", false),
    ("/v2/models/gpt%2Fllama-8b/infer", false),
  ]) func theModelMayStandInThePath(path: String, passes: Bool) {
    let story = limited()
    let effects = story.send(asking(#"{"text_input":"x"}"#, path: path))
    #expect((effects[0] == "connect u1 b0") == passes)
    if !passes { #expect(effects[0].contains("model_not_allowed")) }
  }
}

/// Paths, pages and fields.
@Suite struct EdgeTests {
  @Test func adminPathsAreBlockedByDefault() {
    let story = Story(backends: 1)
    for path in ["/sleep", "/Metrics", "/flush_cache/", "/v1/load_lora_adapter;x"] {
      let effects = story.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
      #expect(effects.count == 1)
      #expect(effects[0].contains(" HTTP/1.1 403 Forbidden\r\n"))
      #expect(
        effects[0].contains(
          "This path administers an engine; admin_paths of the route 'all' blocks it."))
    }
    #expect(story.send(request("GET")) == ["connect u1 b0"])
    let open = Story(backends: 1) { $0.routes[0].adminPaths = .allow }
    #expect(open.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") == ["connect u1 b0"])
    let some = Story(backends: 1) { $0.routes[0].adminPaths = .block(except: ["/Metrics"]) }
    #expect(some.send("GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n") == ["connect u1 b0"])
    #expect(some.send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")[0].contains("403"))
  }

  @Test func addressesAreDenied() {
    let story = Story(backends: 1) { $0.routes[0].access.deny = [AddressBlock("10.0.0.0/8")!] }
    #expect(story.send(request("GET"))[0].contains("\"code\":\"address_denied\""))
    // The peer is not trusted: what it writes does not help.
    #expect(
      story.send(request("GET", fields: "X-Forwarded-For: 1.2.3.4\r\n"))[0].contains(
        "address_denied"))
  }

  private func pages() -> Story {
    guarded { _ in
    } _: {
      var cors = CORSSettings()
      cors.origins = ["https://app.example.org"]
      $0.routes[0].cors = cors
      $0.routes[0].methods = ["POST"]
    }
  }

  @Test func aPreflightIsAnsweredHere() {
    let story = pages()
    let effects = story.send(
      """
      OPTIONS /x HTTP/1.1\r
      Host: a\r
      Origin: https://app.example.org\r
      Access-Control-Request-Method: POST\r
      Access-Control-Request-Headers: authorization, content-type\r
      \r

      """)
    #expect(
      effects == [
        """
        write c1 HTTP/1.1 204 No Content\r
        Access-Control-Allow-Origin: https://app.example.org\r
        Access-Control-Allow-Headers: authorization, content-type\r
        Access-Control-Allow-Methods: GET, POST\r
        Access-Control-Max-Age: 600\r
        Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r
        \r

        """
      ])
    let other = story.send(
      "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.org\r\n"
        + "Access-Control-Request-Method: POST\r\n\r\n")
    #expect(other[0].contains("\"code\":\"origin_not_allowed\""))
  }

  @Test func anAnswerSaysWhichPageMayReadIt() {
    let story = pages()
    _ = story.send(asking("x", fields: "Origin: https://app.example.org\r\n"))
    _ = story.connected("u1")
    let effects = story.receive("u1", answer("ok", fields: "Access-Control-Allow-Origin: *\r\n"))
    #expect(
      effects[0] == """
        write c1 HTTP/1.1 200 OK\r
        Content-Length: 2\r
        Access-Control-Allow-Origin: https://app.example.org\r
        Vary: Origin\r
        \r
        ok
        """)
    _ = story.receive("c1", asking("x", fields: "Origin: https://evil.org\r\n"))
    let foreign = story.receive("u1", answer("ok", fields: "Access-Control-Allow-Origin: *\r\n"))
    #expect(!foreign[0].contains("Access-Control"))
    #expect(foreign[0].contains("Vary: Origin\r\n"))
    // So does a refusal, or the page would see a riddle.
    let refused = story.receive(
      "c1", asking("x", key: "no", fields: "Origin: https://app.example.org\r\n"))
    #expect(refused[0].contains("Access-Control-Allow-Origin: https://app.example.org\r\n"))
  }

  @Test func fieldsAreEditedBothWays() {
    let story = Story(backends: 1) {
      $0.pools[0].requestHeaders.set = [HeaderLine("X-Engine", "e")]
      $0.pools[0].responseHeaders.remove = ["Server"]
      $0.routes[0].requestHeaders.remove = ["Cookie", "X-Old"]
      $0.routes[0].requestHeaders.append = [HeaderLine("X-Tag", "1")]
      $0.routes[0].responseHeaders.set = [HeaderLine("X-Frame-Options", "DENY")]
    }
    _ = story.send(
      request("GET", fields: "Cookie: a=1\r\nx-engine: mine\r\nx-old: 1\r\nX-Tag: 0\r\n"))
    let sent = story.connected("u1")[0]
    #expect(sent.hasPrefix("write u1 GET /x HTTP/1.1\r\nHost: a\r\nX-Tag: 0\r\nX-Forwarded-For"))
    #expect(sent.contains("\r\nX-Engine: e\r\nX-Tag: 1\r\n"))
    let back = story.receive("u1", answer("ok", fields: "Server: x\r\nX-Frame-Options: NO\r\n"))
    #expect(
      back[0]
        == "write c1 HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Frame-Options: DENY\r\n\r\nok")
  }
}

extension String {
  /// In two, behind so many bytes.
  fileprivate func cut(_ count: Int) -> (first: String, rest: String) {
    let bytes = Array(utf8)
    return (
      String(decoding: bytes[..<count], as: UTF8.self),
      String(decoding: bytes[count...], as: UTF8.self)
    )
  }

  /// Bytes before a text.
  fileprivate func range(of text: String) -> Int {
    let all = Array(utf8)
    let wanted = Array(text.utf8)
    for start in 0...(all.count - wanted.count)
    where all[start..<(start + wanted.count)].elementsEqual(wanted) {
      return start
    }
    return all.count
  }
}

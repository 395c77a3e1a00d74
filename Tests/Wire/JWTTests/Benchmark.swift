import JWT
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What a token costs. Not part of a test run: it measures, it does not judge.
///
/// ```
/// PORTICO_BENCH=1 swift test -c release -Xswiftc -enable-testing --filter JWTTests.Benchmark
/// ```
@Suite(.serialized, .enabled(if: getenv("PORTICO_BENCH") != nil)) struct Benchmark {
  private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  @Test(arguments: TokenAlgorithm.allCases) func verification(algorithm: TokenAlgorithm) throws {
    let token = Signer.of(algorithm).token(
      #"{"iss":"https://issuer.example.com","sub":"user-0123456789","aud":"portico","exp":2000,"iat":900,"scope":"models:read chat:write"}"#
    )
    let bytes = Array(token.utf8)
    let verifier = TokenVerifier(
      keys: everyKey,
      rules: TokenRules(issuers: ["https://issuer.example.com"], audiences: ["portico"]))
    var best = Int64.max
    for _ in 0..<50 {
      let start = now()
      for _ in 0..<20 {
        try bytes.withUnsafeBytes { _ = try verifier.verify($0, at: 1_000) }
      }
      best = min(best, now() - start)
    }
    print("\(algorithm.rawValue), \(bytes.count) bytes: \(best / 20_000) us")
  }
}

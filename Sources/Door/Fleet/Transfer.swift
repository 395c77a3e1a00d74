import CCurl
import Configuration
import Glibc
import Primitives

/// One probe under way: a libcurl handle and what belongs to it.
///
/// Lives in memory of its own, because libcurl keeps a pointer to it until `end`. Confined to the
/// probe loop.
struct Transfer {
  /// Bytes of an answer's body that are read and thrown away. A longer body is cut there and the
  /// status decides: health pages are short, and one that never ends must not be paid for.
  static let bodyLimitBytes = 64 * 1024

  let easy: UnsafeMutableRawPointer
  /// Whose probe it is.
  let owner: Handle
  /// Those with which it began: a reload does not change what a probe under way is judged by.
  let settings: HealthSettings
  let start: Instant
  private let headers: UnsafeMutablePointer<curl_slist>?
  /// Where a name in the URL really leads; nil in clear.
  let connectTo: UnsafeMutablePointer<curl_slist>?
  /// What libcurl says about a failure, in words. It keeps the pointer until `end`.
  private let words: UnsafeMutablePointer<CChar>
  private var bodyBytes = 0
  /// Of a call, where the probe is one.
  var answer = HealthAnswer()

  private init(
    easy: UnsafeMutableRawPointer, owner: Handle, target: Target, start: Instant
  ) {
    self.easy = easy
    self.owner = owner
    self.start = start
    settings = target.settings
    words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    connectTo = Self.way(to: target)
    headers = Self.callFields(
      target.settings,
      behind: target.authority.isEmpty
        ? nil : curl_slist_append(nil, "Host: \(target.authority)"))
  }

  /// A transfer that is ready to be added to a multi handle; nil when there is no memory.
  ///
  /// Every probe has a connection of its own, opened and closed for it. That is what is to be
  /// known: that the member still accepts. A kept one would also race with the member's own idle
  /// timeout (uvicorn's is 5 s, as our interval) and report a healthy member as broken.
  static func begin(
    _ target: Target, owner: Handle, at now: Instant
  ) -> UnsafeMutablePointer<Transfer>? {
    guard let easy = curl_easy_init() else { return nil }
    let transfer = UnsafeMutablePointer<Transfer>.allocate(capacity: 1)
    transfer.initialize(to: Transfer(easy: easy, owner: owner, target: target, start: now))
    transfer.pointee.prepare(target, context: transfer)
    return transfer
  }

  /// Frees everything. The handle must have left its multi handle.
  static func end(_ transfer: UnsafeMutablePointer<Transfer>) {
    curl_easy_cleanup(transfer.pointee.easy)
    curl_slist_free_all(transfer.pointee.headers)
    curl_slist_free_all(transfer.pointee.connectTo)
    transfer.pointee.words.deallocate()
    transfer.deinitialize(count: 1)
    transfer.deallocate()
  }

  static func of(_ easy: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Transfer> {
    portico_curl_private(easy)!.assumingMemoryBound(to: Transfer.self)
  }

  private func prepare(_ target: Target, context: UnsafeMutablePointer<Transfer>) {
    set(CURLOPT_PRIVATE, UnsafeMutableRawPointer(context))
    // No SIGALRM, and no touching of other signals: they belong to the process.
    set(CURLOPT_NOSIGNAL, 1)
    // Members are reached directly, whatever http_proxy in the environment says.
    set(CURLOPT_PROXY, "")
    set(CURLOPT_NOPROXY, "*")
    set(CURLOPT_FRESH_CONNECT, 1)
    set(CURLOPT_FORBID_REUSE, 1)
    set(CURLOPT_TIMEOUT_MS, max(1, Int(settings.timeout.milliseconds.rounded(.up))))
    set(CURLOPT_ERRORBUFFER, UnsafeMutableRawPointer(words))
    if let tls = target.tls {
      prepare(tls, target)
    } else {
      switch target.address {
      case .ipv4, .ipv6: set(CURLOPT_URL, "http://\(target.address)/")
      case .unix: set(CURLOPT_URL, "http://localhost/")
      }
    }
    if case .unix(let path) = target.address { set(CURLOPT_UNIX_SOCKET_PATH, path) }
    switch settings.probe {
    case .tcp:
      set(CURLOPT_CONNECT_ONLY, 1)
    case .grpc(let service):
      if let headers { set(CURLOPT_HTTPHEADER, UnsafeMutableRawPointer(headers)) }
      prepareCall(service, target, context: context)
    case .http(let path):
      set(CURLOPT_HTTP_VERSION, Self.version(target))
      set(CURLOPT_HTTPGET, 1)
      // As written, with its query, and not tidied by libcurl.
      set(CURLOPT_REQUEST_TARGET, path)
      set(CURLOPT_FOLLOWLOCATION, 0)
      set(CURLOPT_USERAGENT, "portico-health")
      if let headers { set(CURLOPT_HTTPHEADER, UnsafeMutableRawPointer(headers)) }
      _ = portico_curl_on_body(
        easy,
        { _, size, count, context in
          let transfer = context!.assumingMemoryBound(to: Transfer.self)
          transfer.pointee.bodyBytes += size * count
          // Another number than it was given ends the transfer.
          return transfer.pointee.bodyBytes > Transfer.bodyLimitBytes ? 0 : size * count
        }, context)
    }
  }

  /// The judgement on a transfer that libcurl has ended.
  func outcome(_ result: CURLcode) -> ProbeOutcome {
    switch result {
    case CURLE_OK:
      return judgeStatus()
    case CURLE_WRITE_ERROR where bodyBytes > Self.bodyLimitBytes:
      return judgeStatus()
    case CURLE_COULDNT_CONNECT:
      let code = Int32(long(CURLINFO_OS_ERRNO))
      // Without errno not even a socket could be made.
      if code == 0 { return .inconclusive(.noRoom(code: EMFILE)) }
      return ProbeFailure.ourFaults.contains(code)
        ? .inconclusive(.noRoom(code: code)) : .bad(.connect(code: code))
    case CURLE_OPERATION_TIMEDOUT:
      let wasSent = long(CURLINFO_REQUEST_SIZE) > 0
      return .bad(wasSent ? .timeout(settings.timeout) : .connectTimeout(settings.timeout))
    case CURLE_GOT_NOTHING:
      // A server of HTTP/1.1 refuses the preface, which libcurl does not tell from silence.
      return .bad(isCall ? .noHTTP2 : .closedWithoutAnswer)
    case CURLE_PARTIAL_FILE:
      return .bad(.closedBeforeEnd)
    case CURLE_RECV_ERROR, CURLE_SEND_ERROR:
      return .bad(.broken(code: Int32(long(CURLINFO_OS_ERRNO))))
    case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING:
      return .bad(isCall ? .notGRPC : .notHTTP)
    case CURLE_HTTP2, CURLE_HTTP2_STREAM,
      CURLE_WRITE_ERROR where isCall:
      return .bad(.notGRPC)
    case CURLE_PEER_FAILED_VERIFICATION:
      return .bad(.certificate(inWords(result)))
    case CURLE_SSL_CONNECT_ERROR:
      return .bad(.handshake(inWords(result)))
    case CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER:
      return .inconclusive(.other(inWords(result)))
    case CURLE_OUT_OF_MEMORY:
      return .inconclusive(.noRoom(code: ENOMEM))
    default:
      return .bad(.other(String(cString: curl_easy_strerror(result))))
    }
  }

  private func judgeStatus() -> ProbeOutcome {
    if case .tcp = settings.probe { return .good }
    let status = long(CURLINFO_RESPONSE_CODE)
    if isCall { return answer.outcome(httpStatus: status) }
    return (settings.statusLow...max(settings.statusLow, settings.statusHigh)).contains(status)
      ? .good
      : .bad(.status(status, low: settings.statusLow, high: settings.statusHigh))
  }

  private var isCall: Bool { if case .grpc = settings.probe { true } else { false } }

  private func inWords(_ result: CURLcode) -> String {
    let text = String(cString: words)
    return text.isEmpty ? String(cString: curl_easy_strerror(result)) : text
  }

  private func long(_ info: CURLINFO) -> Int {
    var value = 0
    _ = portico_curl_get_long(easy, info, &value)
    return value
  }

  // An option that libcurl refuses was misspelt by us, or there is no memory; either way the probe
  // fails and says so, since libcurl reports what is missing when it begins.
  func set(_ option: CURLoption, _ value: Int) {
    _ = portico_curl_set_long(easy, option, value)
  }
  func set(_ option: CURLoption, _ value: String) {
    _ = portico_curl_set_string(easy, option, value)
  }
  func set(_ option: CURLoption, _ value: UnsafeMutableRawPointer) {
    _ = portico_curl_set_pointer(easy, option, value)
  }
}

import Admin
import EventLoop
import Glibc
import JSON
import Primitives
import Terminal

/// `portico status`.
enum StatusCommand {
  static let help = """
    usage: portico status [--admin ADDRESS] [--token TOKEN] [--watch [--every SECONDS]] [--health]

    Draws the fleet as a table, from the admin listener of a running Portico.

      --admin ADDRESS   the admin listener (default 127.0.0.1:9900)
      --token TOKEN     its bearer token (default: the environment's PORTICO_TOKEN)
      --watch           draw again every second, until interrupted
      --every SECONDS   how often (default 1)
      --health          no table: exit with 0 when Portico lives, 1 when it does not
    """

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let text = try options.value("--admin") ?? "127.0.0.1:9900"
    guard let address = SocketAddress(text) else {
      throw Options.Misuse(problem: "'\(text)' is not an address; write it like 127.0.0.1:9900")
    }
    let token = try options.value("--token") ?? Console.environment["PORTICO_TOKEN"]
    let every = try options.value("--every")
    let watches = options.flag("--watch")
    let asksHealth = options.flag("--health")
    _ = try options.operands(atMost: 0)
    let seconds = every.flatMap(Double.init) ?? 1
    guard seconds >= 0.1, seconds <= 3600 else {
      throw Options.Misuse(problem: "--every takes 0.1 to 3600 seconds")
    }
    let client = AdminClient(address: address, token: token)
    if asksHealth { return health(client) }
    return watches ? watch(client, every: seconds) : once(client)
  }

  private static func health(_ client: AdminClient) -> Int32 {
    do {
      let reply = try client.ask("GET", "/healthz")
      return reply.status == 200 ? 0 : Command.program.failed("/healthz answered \(reply.status)")
    } catch {
      return Command.program.failed("\(error)")
    }
  }

  private static func once(_ client: AdminClient) -> Int32 {
    do {
      for line in try table(client, since: nil).lines { Console.put(line + "\n") }
      return 0
    } catch {
      return Command.program.failed("\(error)")
    }
  }

  private static func watch(_ client: AdminClient, every seconds: Double) -> Int32 {
    var before: FleetView?
    while true {
      var screen = "\u{1b}[H\u{1b}[2J"
      do {
        let drawn = try table(client, since: before)
        before = drawn.view
        screen += drawn.lines.joined(separator: "\n") + "\n"
      } catch {
        screen += "\(error)\n"
      }
      Console.put(screen)
      usleep(UInt32(seconds * 1e6))
    }
  }

  /// The table of now; rates are those since an earlier view.
  static func table(
    _ client: AdminClient, since before: FleetView?
  ) throws -> (view: FleetView, lines: [String]) {
    let reply = try client.ask("GET", "/fleet")
    guard reply.status == 200 else { throw Refused(status: reply.status, text: reply.text) }
    let view = try FleetView(JSONValue(reply.body))
    return (view, StatusTable.lines(view, before: before, style: .of(descriptor: 1)))
  }

  struct Refused: Error, CustomStringConvertible {
    let status: Int
    let text: String
    var description: String { "/fleet answered \(status): \(text)" }
  }
}

import CLinux
import Dispatch
import Glibc
import Load
import Terminal

/// `portico mock`.
enum MockCommand {
  static func run(_ words: [String]) -> Int32 {
    if words.contains("--help") || words.contains("-h") {
      Console.put(MockOptions.help)
      return 0
    }
    do {
      let options = try MockOptions.parse(arguments: words)
      signal(SIGPIPE, SIG_IGN)
      _ = portico_raise_descriptor_limit()
      let engine = try MockEngine.start(options)
      for listening in engine.engines {
        Console.put("\(listening.name) listens on \(listening.address)\n")
      }
      withExtendedLifetime(engine) { dispatchMain() }
    } catch let complaint as MockComplaint {
      return Command.program.misused("\(complaint)", help: "portico mock --help tells more")
    } catch {
      return Command.program.failed("\(error)")
    }
  }
}

import CLinux
import Configuration
import Control
import Dispatch
import EventLoop
import Glibc
import Lifecycle
import Load
import Primitives
import Telemetry

let code = Command.run(Array(CommandLine.arguments.dropFirst()))
// Loops may still run: libraries that clean up at an exit, as OpenSSL does, would do it under them.
fflush(nil)
_exit(code)

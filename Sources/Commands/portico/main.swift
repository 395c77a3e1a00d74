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

exit(Command.run(Array(CommandLine.arguments.dropFirst())))

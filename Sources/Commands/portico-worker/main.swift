import Glibc
import WorkerCommand

exit(WorkerCommand.run(Array(CommandLine.arguments.dropFirst())))

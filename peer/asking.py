"""The commands that only ask the peer that runs here, or its files: they load neither PyTorch nor hivemind."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from data.terminal import as_called
from minigpt import heed_interrupts
from minigpt.checkpoint.manifest import reason
from peer.command_line import owner_asks, parse_arguments
from peer.device.control import ControlError
from peer.device.display import Display
from peer.joining.owner_commands import OwnerCommands
from peer.network.folder import runs_in
from peer.page.control import NotDone
from peer.page.status_table import show_status


def exit_code_of_asking() -> int | None:
    """Do what this process's command line asks of a running peer; return the exit code, and None for all else.

    A command line that cannot be, or asks for help, ends the program here.
    """
    arguments = parse_arguments()
    if not (arguments.status or owner_asks(arguments)):
        return None
    heed_interrupts()

    def work() -> int:
        ask(arguments, Display())
        return 0

    return exit_code(work, (ControlError, NotDone))


def ask(arguments: argparse.Namespace, display: Display) -> bool:
    """Do what the command line asks of the peer that runs here; return False where it asks nothing of it.

    Raises ControlError and NotDone.
    """
    if arguments.status:
        show_status(arguments.checkpoints, runs_in(arguments.checkpoints), arguments.json, arguments.watch)
        return True
    if not owner_asks(arguments):
        return False
    commands = OwnerCommands(arguments.checkpoints, display.note)
    if arguments.lock:
        commands.lock(confirmed=arguments.yes)
    elif arguments.unlock:
        commands.unlock()
    elif arguments.admit:
        commands.admit(arguments.admit)
    elif arguments.go_back:
        commands.go_back()
    else:
        commands.eject(arguments.eject)
    return True


def exit_code(work: Callable[[], int], user_errors: tuple[type[Exception], ...]) -> int:
    """Return what the work returns; 2 for what the user can mend, 1 where something failed, 130 for Ctrl+C."""
    try:
        return work()
    except user_errors as error:
        print(as_called(f"error: {error}"), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return 1

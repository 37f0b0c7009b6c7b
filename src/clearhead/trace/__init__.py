"""What a run showed of itself: the schema of its places, and the arrays that executors fill."""

from clearhead.trace.trace import Trace as Trace

"""Every size, deadline and number of connections that no server and no client may decide.

A comment gives the reason of each limit, and its source if that is a measurement or another program's rule.
The suffix of a name is its unit. docs/limits.md lists them for operators. Limits that an operator chooses are
settings: docs/settings.md.
"""

from __future__ import annotations

# -- deliveries: webhook and Pushgateway -----------------------------------------------------------------

# A reachable receiver accepts a connection at once. 5 s include two lost SYNs, which Linux sends again after
# 1 s and 3 s.
DELIVERY_CONNECT_SECONDS = 5

# Silence of a receiver. GitHub also waits 10 s for the receiver of a webhook.
DELIVERY_READ_SECONDS = 10

# The whole delivery: its retries and every byte of the answers. A socket timeout restarts at each byte, so a
# receiver that sends one byte per second is never late. 30 s are two silent attempts and their pauses.
DELIVERY_SECONDS = 30

# The part of a refusal that enters the log. git-sync does not read the rest of the answer.
DELIVERY_ANSWER_BYTES = 1000

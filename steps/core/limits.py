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

# -- the HTTP server of `serve` and `run` ----------------------------------------------------------------

# Prometheus, probes and a browser need a handful. The component `serve` may use 256Mi. It takes 119 MiB while
# 200 clients request the metrics of 2,000 clusters (1.7 MiB) and read nothing (measured).
HTTP_CONNECTIONS = 32

# Connections that are accepted before the first of them can be closed again. They are descriptors beyond
# HTTP_CONNECTIONS, of which a process may have 1024.
HTTP_ACCEPTED_CONNECTIONS = 8

# Connections that wait in the kernel, without a descriptor. A client that finds this queue full tries again
# after 1 s: with 32, it took 28 s to open 1,000 connections, with 1024 it takes 0.2 s. Linux allows 4096.
HTTP_QUEUED_CONNECTIONS = 1024

# From the connection to the last byte of the response. Prometheus' default scrape_timeout is 10 s too.
HTTP_REQUEST_SECONDS = 10

# The request line and the headers. Apache, nginx and Node.js also accept 8 to 16 KiB.
HTTP_HEAD_BYTES = 8 * 2**10

# Responses that are rendered at a time. Python renders one at a time; the others wait for the state.
HTTP_RESPONSE_THREADS = 4

# How long a response waits for the state. Kubernetes' default timeout of a probe is 1 s.
HTTP_STATE_SECONDS = 0.8

# How long serve shows the last state while it cannot read a newer one. It is longer than a restart
# of an S3 server, and shorter than the 15 minutes after which GitSyncDown fires.
HTTP_STALE_STATE_SECONDS = 300

# -- git -------------------------------------------------------------------------------------------------

# What git prints on stderr: a server's progress and the output of its hooks, which have no limit (1.5 GiB
# within minutes, measured). The reason of a failure is in the last lines.
GIT_OUTPUT_BYTES = 64 * 2**10

# One commit that is read for its trailers. A run with 2,000 clusters (MAX_CLUSTERS) whose names have 255
# bytes, all of them percent-encoded, writes 3.2 MB.
COMMIT_BYTES = 4 * 2**20

# The commits that one step reads for their trailers. 1,000 commits of runs with 500 clusters have 50 MB.
COMMITS_BYTES = 64 * 2**20

# One directory in Git. 200,000 objects (MAX_OBJECTS) with names of 255 bytes in one directory have 56 MB.
TREE_BYTES = 64 * 2**20

# A path in Git below a cluster. No system opens a longer one: Linux' PATH_MAX. Keys have 1,024 bytes at most.
GIT_PATH_BYTES = 4096

# The levels of such a path. Keys have 64 at most.
GIT_LEVELS = 256

# Changes of paths in the history that are read to find out who has pushed a file: some seconds. 1,000 commits
# of a cluster that changes 100 files in each have 100,000.
HISTORY_CHANGES = 1_000_000

# Names directly below GIT_PATH that git-sync keeps in memory: about 40 MB.
GIT_NAMES = 100_000

# -- download --------------------------------------------------------------------------------------------

# Clusters that one step processes at a time, each in a thread. LIST mostly waits for the network.
CLUSTERS_AT_A_TIME_THREADS = 4

# Threads detect DOWNLOAD_TIMEOUT between two requests. After this time download stops waiting for a thread
# that is still in a request; its cluster fails like the others that are not complete.
DOWNLOAD_LATE_SECONDS = 30

# -- S3 --------------------------------------------------------------------------------------------------

# An S3 server in another region accepts a connection within a second. 10 s include three lost SYNs.
S3_CONNECT_SECONDS = 10

# Silence of the server. LIST of a prefix with many deleted versions takes a loaded server up to 30 s.
S3_READ_SECONDS = 60

# One answer to LIST or HEAD, from the connection to its last byte: two times the longest silence.
S3_ANSWER_SECONDS = 120

# One answer to LIST, after decompression. A page has 1,000 keys of 1,024 bytes, which the encoding for URLs
# makes three times as long, and about 400 bytes of other fields for each: 3.5 MB.
S3_ANSWER_BYTES = 8 * 1024 * 1024

# One request for an object. 1 GiB in an hour is 300 kB per second.
S3_OBJECT_SECONDS = 3600

# One request for the state, which is small.
STATE_SECONDS = 10

# The state. serve takes 150 MiB to read one of 29 MiB (measured: 1,500 clusters, each with 20 keys of 1 KiB).
STATE_BYTES = 32 * 2**20

# Pages of one listing: 100 million objects. A server may invent tokens endlessly.
S3_LISTING_PAGES = 100_000

# Objects of one cluster that the store refuses, while it returns none, before the cluster fails: without
# the permission for GetObject a first run would request every object.
DENIED_OBJECTS = 100

# The length of a server's message in an error, in characters. Some servers send whole pages.
SERVER_MESSAGE_CHARACTERS = 1000

# -- changes that the Git host refuses -------------------------------------------------------------------

# One search for the refused changes. Enough to find one among 250,000 that no message names; what is not
# found is deferred to the next run. A hosting service may count pushes.
SEARCH_PUSHES = 40

# Refused changes in the state. More of them are searched for in each run.
REFUSED_CHANGES = 1000

# -- rewriting objects: VOLATILE_FIELDS and SECRETS -------------------------------------------------------

# Values of a file with expanded aliases; 64 characters of a text count as one more. The largest CRDs have
# 1 MB and 30,000 values. 60,000 take 2 to 4 s and up to 70 MiB (measured on a busy machine).
REWRITTEN_VALUES = 60_000

# Objects up to this size are rewritten in parallel. One takes up to 10 MiB of memory.
SMALL_REWRITTEN_BYTES = 32 * 2**10

# CPU time of a cluster in one run. Only what an object takes beyond 0.05 s counts. 300 CRDs of 1 MB take
# about that long; nearly all objects take less than 0.05 s.
REWRITING_SECONDS = 300

# Comments of a file with a Secret: one for each value.
REWRITTEN_COMMENTS = REWRITTEN_VALUES

# -- reading Kubernetes objects --------------------------------------------------------------------------

# A file with objects. Larger than nearly every object, and libyaml takes at most a second for it.
OBJECT_FILE_BYTES = 512 * 2**10

# -- the inspection of a run's changes for the summary ---------------------------------------------------

# All inspections of a publish. The push or the report waits for them.
INSPECTION_SECONDS = 20

# All versions in all inspections of a publish.
INSPECTED_BYTES = 64 * 2**20

# Changed files. Each takes 0.3 ms for each version, and old versions are fetched.
INSPECTED_FILES = 1000

# Of the first commit of a branch, which is new in all its files: with 1,000 of them, publish takes a fifth
# longer (measured with 5,000 objects).
INSPECTED_FIRST_FILES = 250

# Containers, grants and values of Secrets, with 1 for each object. 100,000 take up to 95 MiB.
INSPECTED_FACTS = 100_000

# One version of a file. The slowest that is known takes 1 s; libyaml has had endless loops.
INSPECTED_FILE_SECONDS = 5

# Address space of the process that reads the files. Its start takes 38 MiB, and 100,000 facts of 54,000 small
# objects 133 MiB (measured). A file that needs more is not inspected.
INSPECTION_MEMORY_BYTES = 256 * 2**20

# The summary as that process writes it.
INSPECTION_RESULT_BYTES = 16 * 2**20

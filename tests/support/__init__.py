# SPDX-License-Identifier: Apache-2.0
"""What the live and the fault tests stand on: servers, mounts, files and a bad line."""

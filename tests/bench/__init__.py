# SPDX-License-Identifier: Apache-2.0
"""The steps of scripts/bench, and what they stand on."""

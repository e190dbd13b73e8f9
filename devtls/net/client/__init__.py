"""The side that faces clients: listeners, HTTP/1 and HTTP/2 connections, dispatch."""

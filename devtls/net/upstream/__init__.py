"""The side that faces apps: dialling, pools, HTTP/1 and HTTP/2 connections."""

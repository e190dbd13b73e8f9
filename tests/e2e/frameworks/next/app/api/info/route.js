import { NextResponse } from "next/server";

export const GET = (request) =>
  request.nextUrl.searchParams.has("away")
    ? NextResponse.redirect(new URL("/", request.url))
    : NextResponse.json({ url: request.url });

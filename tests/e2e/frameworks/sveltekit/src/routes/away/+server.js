import { redirect } from "@sveltejs/kit";

export const GET = ({ url }) => redirect(303, new URL("/", url));
